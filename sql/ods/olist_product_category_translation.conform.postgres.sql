-- Compiled from contracts/olist/product_category_translation.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(BOTH ' ' FROM product_category_name), '') AS product_category_name,
    NULLIF(TRIM(BOTH ' ' FROM product_category_name_english), '') AS product_category_name_english,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    product_category_name AS product_category_name,
    product_category_name_english AS product_category_name_english,
    _batch_id,
    _source_line,
    _delivery
  FROM cleaned
), judged AS MATERIALIZED (
  SELECT
    product_category_name,
    product_category_name_english,
    _batch_id,
    _source_line,
    _delivery,
    CONCAT_WS(
      ', ',
      CASE WHEN product_category_name IS NULL THEN 'product_category_name is empty' END,
      CASE
        WHEN product_category_name_english IS NULL
        THEN 'product_category_name_english is empty'
      END
    ) AS _reasons
  FROM typed
)
SELECT
  product_category_name,
  product_category_name_english,
  _batch_id,
  _source_line,
  _delivery,
  _reasons,
  ROW_NUMBER() OVER (
    PARTITION BY _reasons = '', product_category_name
    ORDER BY _delivery DESC, _source_line DESC, _batch_id
  ) AS _rank
FROM judged
