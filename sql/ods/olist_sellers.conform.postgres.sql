-- Compiled from contracts/olist/sellers.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(BOTH ' ' FROM seller_id), '') AS seller_id,
    NULLIF(TRIM(BOTH ' ' FROM seller_zip_code_prefix), '') AS zip_code_prefix,
    NULLIF(TRIM(BOTH ' ' FROM seller_city), '') AS city,
    NULLIF(TRIM(BOTH ' ' FROM seller_state), '') AS state,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    seller_id AS seller_id,
    zip_code_prefix AS zip_code_prefix,
    city AS city,
    state AS state,
    _batch_id,
    _source_line,
    _delivery
  FROM cleaned
), judged AS MATERIALIZED (
  SELECT
    seller_id,
    zip_code_prefix,
    city,
    state,
    _batch_id,
    _source_line,
    _delivery,
    CONCAT_WS(
      ', ',
      CASE WHEN seller_id IS NULL THEN 'seller_id is empty' END,
      CASE WHEN zip_code_prefix IS NULL THEN 'zip_code_prefix is empty' END,
      CASE WHEN city IS NULL THEN 'city is empty' END,
      CASE WHEN state IS NULL THEN 'state is empty' END,
      CASE
        WHEN seller_id IS NOT NULL AND NOT (
          seller_id ~ '^[0-9a-f]{32}$'
        )
        THEN 'seller_id_is_a_hash'
      END,
      CASE
        WHEN zip_code_prefix IS NOT NULL AND NOT (
          zip_code_prefix ~ '^[0-9]{5}$'
        )
        THEN 'zip_code_prefix_has_five_digits'
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
  seller_id,
  zip_code_prefix,
  city,
  state,
  _batch_id,
  _source_line,
  _delivery,
  _reasons,
  ROW_NUMBER() OVER (
    PARTITION BY _reasons = '', seller_id
    ORDER BY _delivery DESC, _source_line DESC, _batch_id
  ) AS _rank
FROM judged
