-- Compiled from contracts/olist/geolocation.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(geolocation_zip_code_prefix, ' '), '') AS zip_code_prefix,
    NULLIF(TRIM(geolocation_lat, ' '), '') AS latitude_deg,
    NULLIF(TRIM(geolocation_lng, ' '), '') AS longitude_deg,
    NULLIF(TRIM(geolocation_city, ' '), '') AS city,
    NULLIF(TRIM(geolocation_state, ' '), '') AS state,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    zip_code_prefix AS zip_code_prefix,
    CASE
      WHEN REGEXP_MATCHES(latitude_deg, '^[+-]?[0-9]{1,15}([.][0-9]{1,20})?([eE][+-]?[0-9][0-9]?)?$')
      THEN TRY_CAST(latitude_deg AS DOUBLE)
    END AS latitude_deg,
    latitude_deg AS latitude_deg__text,
    CASE
      WHEN REGEXP_MATCHES(longitude_deg, '^[+-]?[0-9]{1,15}([.][0-9]{1,20})?([eE][+-]?[0-9][0-9]?)?$')
      THEN TRY_CAST(longitude_deg AS DOUBLE)
    END AS longitude_deg,
    longitude_deg AS longitude_deg__text,
    city AS city,
    state AS state,
    _batch_id,
    _source_line,
    _delivery
  FROM cleaned
), judged AS MATERIALIZED (
  SELECT
    zip_code_prefix,
    latitude_deg,
    longitude_deg,
    city,
    state,
    _batch_id,
    _source_line,
    _delivery,
    CONCAT_WS(
      ', ',
      CASE WHEN zip_code_prefix IS NULL THEN 'zip_code_prefix is empty' END,
      CASE
        WHEN latitude_deg__text IS NOT NULL AND latitude_deg IS NULL
        THEN 'latitude_deg is not a double precision'
      END,
      CASE WHEN latitude_deg__text IS NULL THEN 'latitude_deg is empty' END,
      CASE
        WHEN longitude_deg__text IS NOT NULL AND longitude_deg IS NULL
        THEN 'longitude_deg is not a double precision'
      END,
      CASE WHEN longitude_deg__text IS NULL THEN 'longitude_deg is empty' END,
      CASE WHEN city IS NULL THEN 'city is empty' END,
      CASE WHEN state IS NULL THEN 'state is empty' END,
      CASE
        WHEN zip_code_prefix IS NOT NULL
        AND NOT (
          REGEXP_MATCHES(zip_code_prefix, '^[0-9]{5}$')
        )
        THEN 'zip_code_prefix_has_five_digits'
      END,
      CASE
        WHEN latitude_deg IS NOT NULL AND NOT (
          latitude_deg >= -90 AND latitude_deg <= 90
        )
        THEN 'latitude_deg_exists'
      END,
      CASE
        WHEN longitude_deg IS NOT NULL
        AND NOT (
          longitude_deg >= -180 AND longitude_deg <= 180
        )
        THEN 'longitude_deg_exists'
      END,
      CASE
        WHEN state IS NOT NULL
        AND NOT (
          state IN (
            'AC',
            'AL',
            'AM',
            'AP',
            'BA',
            'CE',
            'DF',
            'ES',
            'GO',
            'MA',
            'MG',
            'MS',
            'MT',
            'PA',
            'PB',
            'PE',
            'PI',
            'PR',
            'RJ',
            'RN',
            'RO',
            'RR',
            'RS',
            'SC',
            'SE',
            'SP',
            'TO'
          )
        )
        THEN 'state_is_brazilian'
      END
    ) AS _reasons
  FROM typed
)
SELECT
  zip_code_prefix,
  latitude_deg,
  longitude_deg,
  city,
  state,
  _batch_id,
  _source_line,
  _delivery,
  _reasons,
  ROW_NUMBER() OVER (
    PARTITION BY _reasons = '', zip_code_prefix, latitude_deg, longitude_deg, city, state
    ORDER BY _delivery DESC NULLS FIRST, _source_line DESC NULLS FIRST, _batch_id
  ) AS _rank
FROM judged
