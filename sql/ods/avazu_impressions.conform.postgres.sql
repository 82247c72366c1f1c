-- Compiled from contracts/avazu/impressions.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(BOTH ' ' FROM id), '') AS id,
    NULLIF(TRIM(BOTH ' ' FROM click), '') AS click,
    NULLIF(TRIM(BOTH ' ' FROM hour), '') AS hour,
    NULLIF(TRIM(BOTH ' ' FROM c1), '') AS c1,
    NULLIF(TRIM(BOTH ' ' FROM banner_pos), '') AS banner_pos,
    NULLIF(TRIM(BOTH ' ' FROM site_id), '') AS site_id,
    NULLIF(TRIM(BOTH ' ' FROM site_domain), '') AS site_domain,
    NULLIF(TRIM(BOTH ' ' FROM site_category), '') AS site_category,
    NULLIF(TRIM(BOTH ' ' FROM app_id), '') AS app_id,
    NULLIF(TRIM(BOTH ' ' FROM app_domain), '') AS app_domain,
    NULLIF(TRIM(BOTH ' ' FROM app_category), '') AS app_category,
    NULLIF(TRIM(BOTH ' ' FROM device_id), '') AS device_id,
    NULLIF(TRIM(BOTH ' ' FROM device_ip), '') AS device_ip,
    NULLIF(TRIM(BOTH ' ' FROM device_model), '') AS device_model,
    NULLIF(TRIM(BOTH ' ' FROM device_type), '') AS device_type,
    NULLIF(TRIM(BOTH ' ' FROM device_conn_type), '') AS device_conn_type,
    NULLIF(TRIM(BOTH ' ' FROM c14), '') AS c14,
    NULLIF(TRIM(BOTH ' ' FROM c15), '') AS c15,
    NULLIF(TRIM(BOTH ' ' FROM c16), '') AS c16,
    NULLIF(TRIM(BOTH ' ' FROM c17), '') AS c17,
    NULLIF(TRIM(BOTH ' ' FROM c18), '') AS c18,
    NULLIF(TRIM(BOTH ' ' FROM c19), '') AS c19,
    NULLIF(TRIM(BOTH ' ' FROM c20), '') AS c20,
    NULLIF(TRIM(BOTH ' ' FROM c21), '') AS c21,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    CASE
      WHEN id ~ '^[+-]?[0-9]+$'
      THEN CASE
        WHEN PG_INPUT_IS_VALID(id, 'decimal(20, 0)')
        THEN CAST(id AS DECIMAL(20, 0))
      END
    END AS id,
    id AS id__text,
    CASE
      WHEN click ~ '^[+-]?[0-9]+$'
      THEN CASE WHEN PG_INPUT_IS_VALID(click, 'smallint') THEN CAST(click AS SMALLINT) END
    END AS click,
    click AS click__text,
    CASE
      WHEN hour >= '0'
      AND hour < ':'
      AND (
        LENGTH(
          (
            '20' || SUBSTRING(hour FROM 1 FOR 2) || '-' || SUBSTRING(hour FROM 3 FOR 2) || '-' || SUBSTRING(hour FROM 5 FOR 2) || ' ' || SUBSTRING(hour FROM 7) || ':00:00'
          )
        ) IN (10, 19)
        OR (
          '20' || SUBSTRING(hour FROM 1 FOR 2) || '-' || SUBSTRING(hour FROM 3 FOR 2) || '-' || SUBSTRING(hour FROM 5 FOR 2) || ' ' || SUBSTRING(hour FROM 7) || ':00:00'
        ) ~ '^.{19}[.][0-9]{1,6}$'
      )
      AND SUBSTRING(CAST(CASE
        WHEN PG_INPUT_IS_VALID(
          (
            '20' || SUBSTRING(hour FROM 1 FOR 2) || '-' || SUBSTRING(hour FROM 3 FOR 2) || '-' || SUBSTRING(hour FROM 5 FOR 2) || ' ' || SUBSTRING(hour FROM 7) || ':00:00'
          ),
          'timestamp'
        )
        THEN CAST((
          '20' || SUBSTRING(hour FROM 1 FOR 2) || '-' || SUBSTRING(hour FROM 3 FOR 2) || '-' || SUBSTRING(hour FROM 5 FOR 2) || ' ' || SUBSTRING(hour FROM 7) || ':00:00'
        ) AS TIMESTAMP)
      END AS TEXT) FROM 1 FOR LEAST(
        LENGTH(
          (
            '20' || SUBSTRING(hour FROM 1 FOR 2) || '-' || SUBSTRING(hour FROM 3 FOR 2) || '-' || SUBSTRING(hour FROM 5 FOR 2) || ' ' || SUBSTRING(hour FROM 7) || ':00:00'
          )
        ),
        19
      )) = REPLACE(
        SUBSTRING((
          '20' || SUBSTRING(hour FROM 1 FOR 2) || '-' || SUBSTRING(hour FROM 3 FOR 2) || '-' || SUBSTRING(hour FROM 5 FOR 2) || ' ' || SUBSTRING(hour FROM 7) || ':00:00'
        ) FROM 1 FOR 19),
        'T',
        ' '
      )
      THEN CASE
        WHEN PG_INPUT_IS_VALID(
          (
            '20' || SUBSTRING(hour FROM 1 FOR 2) || '-' || SUBSTRING(hour FROM 3 FOR 2) || '-' || SUBSTRING(hour FROM 5 FOR 2) || ' ' || SUBSTRING(hour FROM 7) || ':00:00'
          ),
          'timestamp'
        )
        THEN CAST((
          '20' || SUBSTRING(hour FROM 1 FOR 2) || '-' || SUBSTRING(hour FROM 3 FOR 2) || '-' || SUBSTRING(hour FROM 5 FOR 2) || ' ' || SUBSTRING(hour FROM 7) || ':00:00'
        ) AS TIMESTAMP)
      END
    END AS hour,
    hour AS hour__text,
    CASE
      WHEN c1 ~ '^[+-]?[0-9]+$'
      THEN CASE WHEN PG_INPUT_IS_VALID(c1, 'int') THEN CAST(c1 AS INT) END
    END AS c1,
    c1 AS c1__text,
    CASE
      WHEN banner_pos ~ '^[+-]?[0-9]+$'
      THEN CASE
        WHEN PG_INPUT_IS_VALID(banner_pos, 'smallint')
        THEN CAST(banner_pos AS SMALLINT)
      END
    END AS banner_pos,
    banner_pos AS banner_pos__text,
    site_id AS site_id,
    site_domain AS site_domain,
    site_category AS site_category,
    app_id AS app_id,
    app_domain AS app_domain,
    app_category AS app_category,
    device_id AS device_id,
    device_ip AS device_ip,
    device_model AS device_model,
    CASE
      WHEN device_type ~ '^[+-]?[0-9]+$'
      THEN CASE
        WHEN PG_INPUT_IS_VALID(device_type, 'smallint')
        THEN CAST(device_type AS SMALLINT)
      END
    END AS device_type,
    device_type AS device_type__text,
    CASE
      WHEN device_conn_type ~ '^[+-]?[0-9]+$'
      THEN CASE
        WHEN PG_INPUT_IS_VALID(device_conn_type, 'smallint')
        THEN CAST(device_conn_type AS SMALLINT)
      END
    END AS device_conn_type,
    device_conn_type AS device_conn_type__text,
    CASE
      WHEN c14 ~ '^[+-]?[0-9]+$'
      THEN CASE WHEN PG_INPUT_IS_VALID(c14, 'int') THEN CAST(c14 AS INT) END
    END AS c14,
    c14 AS c14__text,
    CASE
      WHEN c15 ~ '^[+-]?[0-9]+$'
      THEN CASE WHEN PG_INPUT_IS_VALID(c15, 'int') THEN CAST(c15 AS INT) END
    END AS c15,
    c15 AS c15__text,
    CASE
      WHEN c16 ~ '^[+-]?[0-9]+$'
      THEN CASE WHEN PG_INPUT_IS_VALID(c16, 'int') THEN CAST(c16 AS INT) END
    END AS c16,
    c16 AS c16__text,
    CASE
      WHEN c17 ~ '^[+-]?[0-9]+$'
      THEN CASE WHEN PG_INPUT_IS_VALID(c17, 'int') THEN CAST(c17 AS INT) END
    END AS c17,
    c17 AS c17__text,
    CASE
      WHEN c18 ~ '^[+-]?[0-9]+$'
      THEN CASE WHEN PG_INPUT_IS_VALID(c18, 'int') THEN CAST(c18 AS INT) END
    END AS c18,
    c18 AS c18__text,
    CASE
      WHEN c19 ~ '^[+-]?[0-9]+$'
      THEN CASE WHEN PG_INPUT_IS_VALID(c19, 'int') THEN CAST(c19 AS INT) END
    END AS c19,
    c19 AS c19__text,
    CASE
      WHEN c20 ~ '^[+-]?[0-9]+$'
      THEN CASE WHEN PG_INPUT_IS_VALID(c20, 'int') THEN CAST(c20 AS INT) END
    END AS c20,
    c20 AS c20__text,
    CASE
      WHEN c21 ~ '^[+-]?[0-9]+$'
      THEN CASE WHEN PG_INPUT_IS_VALID(c21, 'int') THEN CAST(c21 AS INT) END
    END AS c21,
    c21 AS c21__text,
    _batch_id,
    _source_line,
    _delivery
  FROM cleaned
), judged AS MATERIALIZED (
  SELECT
    id,
    click,
    hour,
    c1,
    banner_pos,
    site_id,
    site_domain,
    site_category,
    app_id,
    app_domain,
    app_category,
    device_id,
    device_ip,
    device_model,
    device_type,
    device_conn_type,
    c14,
    c15,
    c16,
    c17,
    c18,
    c19,
    c20,
    c21,
    _batch_id,
    _source_line,
    _delivery,
    CONCAT_WS(
      ', ',
      CASE WHEN id__text IS NOT NULL AND id IS NULL THEN 'id is not a numeric(20,0)' END,
      CASE WHEN id__text IS NULL THEN 'id is empty' END,
      CASE
        WHEN click__text IS NOT NULL AND click IS NULL
        THEN 'click is not a smallint'
      END,
      CASE WHEN click__text IS NULL THEN 'click is empty' END,
      CASE
        WHEN hour__text IS NOT NULL AND hour IS NULL
        THEN 'hour is not a timestamp'
      END,
      CASE WHEN hour__text IS NULL THEN 'hour is empty' END,
      CASE WHEN c1__text IS NOT NULL AND c1 IS NULL THEN 'c1 is not a integer' END,
      CASE WHEN c1__text IS NULL THEN 'c1 is empty' END,
      CASE
        WHEN banner_pos__text IS NOT NULL AND banner_pos IS NULL
        THEN 'banner_pos is not a smallint'
      END,
      CASE WHEN banner_pos__text IS NULL THEN 'banner_pos is empty' END,
      CASE WHEN site_id IS NULL THEN 'site_id is empty' END,
      CASE WHEN site_domain IS NULL THEN 'site_domain is empty' END,
      CASE WHEN site_category IS NULL THEN 'site_category is empty' END,
      CASE WHEN app_id IS NULL THEN 'app_id is empty' END,
      CASE WHEN app_domain IS NULL THEN 'app_domain is empty' END,
      CASE WHEN app_category IS NULL THEN 'app_category is empty' END,
      CASE WHEN device_id IS NULL THEN 'device_id is empty' END,
      CASE WHEN device_ip IS NULL THEN 'device_ip is empty' END,
      CASE WHEN device_model IS NULL THEN 'device_model is empty' END,
      CASE
        WHEN device_type__text IS NOT NULL AND device_type IS NULL
        THEN 'device_type is not a smallint'
      END,
      CASE WHEN device_type__text IS NULL THEN 'device_type is empty' END,
      CASE
        WHEN device_conn_type__text IS NOT NULL AND device_conn_type IS NULL
        THEN 'device_conn_type is not a smallint'
      END,
      CASE WHEN device_conn_type__text IS NULL THEN 'device_conn_type is empty' END,
      CASE WHEN c14__text IS NOT NULL AND c14 IS NULL THEN 'c14 is not a integer' END,
      CASE WHEN c14__text IS NULL THEN 'c14 is empty' END,
      CASE WHEN c15__text IS NOT NULL AND c15 IS NULL THEN 'c15 is not a integer' END,
      CASE WHEN c15__text IS NULL THEN 'c15 is empty' END,
      CASE WHEN c16__text IS NOT NULL AND c16 IS NULL THEN 'c16 is not a integer' END,
      CASE WHEN c16__text IS NULL THEN 'c16 is empty' END,
      CASE WHEN c17__text IS NOT NULL AND c17 IS NULL THEN 'c17 is not a integer' END,
      CASE WHEN c17__text IS NULL THEN 'c17 is empty' END,
      CASE WHEN c18__text IS NOT NULL AND c18 IS NULL THEN 'c18 is not a integer' END,
      CASE WHEN c18__text IS NULL THEN 'c18 is empty' END,
      CASE WHEN c19__text IS NOT NULL AND c19 IS NULL THEN 'c19 is not a integer' END,
      CASE WHEN c19__text IS NULL THEN 'c19 is empty' END,
      CASE WHEN c20__text IS NOT NULL AND c20 IS NULL THEN 'c20 is not a integer' END,
      CASE WHEN c20__text IS NULL THEN 'c20 is empty' END,
      CASE WHEN c21__text IS NOT NULL AND c21 IS NULL THEN 'c21 is not a integer' END,
      CASE WHEN c21__text IS NULL THEN 'c21 is empty' END,
      CASE
        WHEN click IS NOT NULL AND NOT (
          click IN (0, 1)
        )
        THEN 'click_is_zero_or_one'
      END,
      CASE
        WHEN banner_pos IS NOT NULL AND NOT (
          banner_pos >= 0
        )
        THEN 'banner_pos_is_not_negative'
      END
    ) AS _reasons
  FROM typed
)
SELECT
  id,
  click,
  hour,
  c1,
  banner_pos,
  site_id,
  site_domain,
  site_category,
  app_id,
  app_domain,
  app_category,
  device_id,
  device_ip,
  device_model,
  device_type,
  device_conn_type,
  c14,
  c15,
  c16,
  c17,
  c18,
  c19,
  c20,
  c21,
  _batch_id,
  _source_line,
  _delivery,
  _reasons,
  ROW_NUMBER() OVER (
    PARTITION BY _reasons = '', id
    ORDER BY _delivery DESC, _source_line DESC, _batch_id
  ) AS _rank
FROM judged
