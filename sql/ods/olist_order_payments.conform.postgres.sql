-- Compiled from contracts/olist/order_payments.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(BOTH ' ' FROM order_id), '') AS order_id,
    NULLIF(TRIM(BOTH ' ' FROM payment_sequential), '') AS payment_sequential,
    NULLIF(TRIM(BOTH ' ' FROM payment_type), '') AS payment_type,
    NULLIF(TRIM(BOTH ' ' FROM payment_installments), '') AS payment_installments,
    NULLIF(TRIM(BOTH ' ' FROM payment_value), '') AS payment_brl,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    order_id AS order_id,
    CASE
      WHEN payment_sequential ~ '^[+-]?[0-9]+$'
      THEN CASE
        WHEN PG_INPUT_IS_VALID(payment_sequential, 'smallint')
        THEN CAST(payment_sequential AS SMALLINT)
      END
    END AS payment_sequential,
    payment_sequential AS payment_sequential__text,
    payment_type AS payment_type,
    CASE
      WHEN payment_installments ~ '^[+-]?[0-9]+$'
      THEN CASE
        WHEN PG_INPUT_IS_VALID(payment_installments, 'smallint')
        THEN CAST(payment_installments AS SMALLINT)
      END
    END AS payment_installments,
    payment_installments AS payment_installments__text,
    CASE
      WHEN payment_brl ~ '^[+-]?[0-9]+([.][0-9]{1,2})?$'
      THEN CASE
        WHEN PG_INPUT_IS_VALID(payment_brl, 'decimal(12, 2)')
        THEN CAST(payment_brl AS DECIMAL(12, 2))
      END
    END AS payment_brl,
    payment_brl AS payment_brl__text,
    _batch_id,
    _source_line,
    _delivery
  FROM cleaned
), judged AS MATERIALIZED (
  SELECT
    order_id,
    payment_sequential,
    payment_type,
    payment_installments,
    payment_brl,
    _batch_id,
    _source_line,
    _delivery,
    CONCAT_WS(
      ', ',
      CASE WHEN order_id IS NULL THEN 'order_id is empty' END,
      CASE
        WHEN payment_sequential__text IS NOT NULL AND payment_sequential IS NULL
        THEN 'payment_sequential is not a smallint'
      END,
      CASE WHEN payment_sequential__text IS NULL THEN 'payment_sequential is empty' END,
      CASE WHEN payment_type IS NULL THEN 'payment_type is empty' END,
      CASE
        WHEN payment_installments__text IS NOT NULL AND payment_installments IS NULL
        THEN 'payment_installments is not a smallint'
      END,
      CASE
        WHEN payment_installments__text IS NULL
        THEN 'payment_installments is empty'
      END,
      CASE
        WHEN payment_brl__text IS NOT NULL AND payment_brl IS NULL
        THEN 'payment_brl is not a numeric(12,2)'
      END,
      CASE WHEN payment_brl__text IS NULL THEN 'payment_brl is empty' END,
      CASE
        WHEN payment_sequential IS NOT NULL AND NOT (
          payment_sequential >= 1
        )
        THEN 'payment_sequential_is_positive'
      END,
      CASE
        WHEN payment_type IS NOT NULL
        AND NOT (
          payment_type IN ('credit_card', 'boleto', 'voucher', 'debit_card', 'not_defined')
        )
        THEN 'payment_type_is_known'
      END,
      CASE
        WHEN payment_installments IS NOT NULL AND NOT (
          payment_installments >= 0
        )
        THEN 'payment_installments_is_not_negative'
      END,
      CASE
        WHEN payment_brl IS NOT NULL AND NOT (
          payment_brl >= 0
        )
        THEN 'payment_brl_is_not_negative'
      END
    ) AS _reasons
  FROM typed
)
SELECT
  order_id,
  payment_sequential,
  payment_type,
  payment_installments,
  payment_brl,
  _batch_id,
  _source_line,
  _delivery,
  _reasons,
  ROW_NUMBER() OVER (
    PARTITION BY _reasons = '', order_id, payment_sequential
    ORDER BY _delivery DESC, _source_line DESC, _batch_id
  ) AS _rank
FROM judged
