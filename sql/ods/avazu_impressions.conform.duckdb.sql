-- Compiled from contracts/avazu/impressions.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(id, ' '), '') AS id,
    NULLIF(TRIM(click, ' '), '') AS click,
    NULLIF(TRIM(hour, ' '), '') AS hour,
    NULLIF(TRIM(c1, ' '), '') AS c1,
    NULLIF(TRIM(banner_pos, ' '), '') AS banner_pos,
    NULLIF(TRIM(site_id, ' '), '') AS site_id,
    NULLIF(TRIM(site_domain, ' '), '') AS site_domain,
    NULLIF(TRIM(site_category, ' '), '') AS site_category,
    NULLIF(TRIM(app_id, ' '), '') AS app_id,
    NULLIF(TRIM(app_domain, ' '), '') AS app_domain,
    NULLIF(TRIM(app_category, ' '), '') AS app_category,
    NULLIF(TRIM(device_id, ' '), '') AS device_id,
    NULLIF(TRIM(device_ip, ' '), '') AS device_ip,
    NULLIF(TRIM(device_model, ' '), '') AS device_model,
    NULLIF(TRIM(device_type, ' '), '') AS device_type,
    NULLIF(TRIM(device_conn_type, ' '), '') AS device_conn_type,
    NULLIF(TRIM(c14, ' '), '') AS c14,
    NULLIF(TRIM(c15, ' '), '') AS c15,
    NULLIF(TRIM(c16, ' '), '') AS c16,
    NULLIF(TRIM(c17, ' '), '') AS c17,
    NULLIF(TRIM(c18, ' '), '') AS c18,
    NULLIF(TRIM(c19, ' '), '') AS c19,
    NULLIF(TRIM(c20, ' '), '') AS c20,
    NULLIF(TRIM(c21, ' '), '') AS c21,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    CASE
      WHEN REGEXP_MATCHES(id, '^[+-]?[0-9]+$')
      THEN TRY_CAST(id AS DECIMAL(20, 0))
    END AS id,
    id AS id__text,
    CASE
      WHEN REGEXP_MATCHES(click, '^[+-]?[0-9]+$')
      THEN TRY_CAST(click AS SMALLINT)
    END AS click,
    click AS click__text,
    CASE
      WHEN hour >= '0'
      AND hour < ':'
      AND (
        LENGTH(
          (
            '20' || SUBSTRING(hour, 1, 2) || '-' || SUBSTRING(hour, 3, 2) || '-' || SUBSTRING(hour, 5, 2) || ' ' || SUBSTRING(hour, 7) || ':00:00'
          )
        ) IN (10, 19)
        OR REGEXP_MATCHES(
          (
            '20' || SUBSTRING(hour, 1, 2) || '-' || SUBSTRING(hour, 3, 2) || '-' || SUBSTRING(hour, 5, 2) || ' ' || SUBSTRING(hour, 7) || ':00:00'
          ),
          '^.{19}[.][0-9]{1,6}$'
        )
      )
      AND SUBSTRING(
        CAST(TRY_CAST((
          '20' || SUBSTRING(hour, 1, 2) || '-' || SUBSTRING(hour, 3, 2) || '-' || SUBSTRING(hour, 5, 2) || ' ' || SUBSTRING(hour, 7) || ':00:00'
        ) AS TIMESTAMP) AS TEXT),
        1,
        LEAST(
          LENGTH(
            (
              '20' || SUBSTRING(hour, 1, 2) || '-' || SUBSTRING(hour, 3, 2) || '-' || SUBSTRING(hour, 5, 2) || ' ' || SUBSTRING(hour, 7) || ':00:00'
            )
          ),
          19
        )
      ) = REPLACE(
        SUBSTRING(
          (
            '20' || SUBSTRING(hour, 1, 2) || '-' || SUBSTRING(hour, 3, 2) || '-' || SUBSTRING(hour, 5, 2) || ' ' || SUBSTRING(hour, 7) || ':00:00'
          ),
          1,
          19
        ),
        'T',
        ' '
      )
      THEN TRY_CAST((
        '20' || SUBSTRING(hour, 1, 2) || '-' || SUBSTRING(hour, 3, 2) || '-' || SUBSTRING(hour, 5, 2) || ' ' || SUBSTRING(hour, 7) || ':00:00'
      ) AS TIMESTAMP)
    END AS hour,
    hour AS hour__text,
    CASE WHEN REGEXP_MATCHES(c1, '^[+-]?[0-9]+$') THEN TRY_CAST(c1 AS INT) END AS c1,
    c1 AS c1__text,
    CASE
      WHEN REGEXP_MATCHES(banner_pos, '^[+-]?[0-9]+$')
      THEN TRY_CAST(banner_pos AS SMALLINT)
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
      WHEN REGEXP_MATCHES(device_type, '^[+-]?[0-9]+$')
      THEN TRY_CAST(device_type AS SMALLINT)
    END AS device_type,
    device_type AS device_type__text,
    CASE
      WHEN REGEXP_MATCHES(device_conn_type, '^[+-]?[0-9]+$')
      THEN TRY_CAST(device_conn_type AS SMALLINT)
    END AS device_conn_type,
    device_conn_type AS device_conn_type__text,
    CASE WHEN REGEXP_MATCHES(c14, '^[+-]?[0-9]+$') THEN TRY_CAST(c14 AS INT) END AS c14,
    c14 AS c14__text,
    CASE WHEN REGEXP_MATCHES(c15, '^[+-]?[0-9]+$') THEN TRY_CAST(c15 AS INT) END AS c15,
    c15 AS c15__text,
    CASE WHEN REGEXP_MATCHES(c16, '^[+-]?[0-9]+$') THEN TRY_CAST(c16 AS INT) END AS c16,
    c16 AS c16__text,
    CASE WHEN REGEXP_MATCHES(c17, '^[+-]?[0-9]+$') THEN TRY_CAST(c17 AS INT) END AS c17,
    c17 AS c17__text,
    CASE WHEN REGEXP_MATCHES(c18, '^[+-]?[0-9]+$') THEN TRY_CAST(c18 AS INT) END AS c18,
    c18 AS c18__text,
    CASE WHEN REGEXP_MATCHES(c19, '^[+-]?[0-9]+$') THEN TRY_CAST(c19 AS INT) END AS c19,
    c19 AS c19__text,
    CASE WHEN REGEXP_MATCHES(c20, '^[+-]?[0-9]+$') THEN TRY_CAST(c20 AS INT) END AS c20,
    c20 AS c20__text,
    CASE WHEN REGEXP_MATCHES(c21, '^[+-]?[0-9]+$') THEN TRY_CAST(c21 AS INT) END AS c21,
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
    ORDER BY _delivery DESC NULLS FIRST, _source_line DESC NULLS FIRST, _batch_id
  ) AS _rank
FROM judged
