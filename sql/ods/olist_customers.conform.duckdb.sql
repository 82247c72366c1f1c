-- Compiled from contracts/olist/customers.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(customer_id, ' '), '') AS customer_id,
    NULLIF(TRIM(customer_unique_id, ' '), '') AS customer_unique_id,
    NULLIF(TRIM(customer_zip_code_prefix, ' '), '') AS zip_code_prefix,
    NULLIF(TRIM(customer_city, ' '), '') AS city,
    NULLIF(TRIM(customer_state, ' '), '') AS state,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    customer_id AS customer_id,
    customer_unique_id AS customer_unique_id,
    zip_code_prefix AS zip_code_prefix,
    city AS city,
    state AS state,
    _batch_id,
    _source_line,
    _delivery
  FROM cleaned
), judged AS MATERIALIZED (
  SELECT
    customer_id,
    customer_unique_id,
    zip_code_prefix,
    city,
    state,
    _batch_id,
    _source_line,
    _delivery,
    CONCAT_WS(
      ', ',
      CASE WHEN customer_id IS NULL THEN 'customer_id is empty' END,
      CASE WHEN customer_unique_id IS NULL THEN 'customer_unique_id is empty' END,
      CASE WHEN zip_code_prefix IS NULL THEN 'zip_code_prefix is empty' END,
      CASE WHEN city IS NULL THEN 'city is empty' END,
      CASE WHEN state IS NULL THEN 'state is empty' END,
      CASE
        WHEN customer_id IS NOT NULL
        AND NOT (
          REGEXP_MATCHES(customer_id, '^[0-9a-f]{32}$')
        )
        THEN 'customer_id_is_a_hash'
      END,
      CASE
        WHEN customer_unique_id IS NOT NULL
        AND NOT (
          REGEXP_MATCHES(customer_unique_id, '^[0-9a-f]{32}$')
        )
        THEN 'customer_unique_id_is_a_hash'
      END,
      CASE
        WHEN zip_code_prefix IS NOT NULL
        AND NOT (
          REGEXP_MATCHES(zip_code_prefix, '^[0-9]{5}$')
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
  customer_id,
  customer_unique_id,
  zip_code_prefix,
  city,
  state,
  _batch_id,
  _source_line,
  _delivery,
  _reasons,
  ROW_NUMBER() OVER (
    PARTITION BY _reasons = '', customer_id
    ORDER BY _delivery DESC NULLS FIRST, _source_line DESC NULLS FIRST, _batch_id
  ) AS _rank
FROM judged
