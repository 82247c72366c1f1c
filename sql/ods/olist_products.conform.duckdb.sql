-- Compiled from contracts/olist/products.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(product_id, ' '), '') AS product_id,
    NULLIF(TRIM(product_category_name, ' '), '') AS product_category_name,
    NULLIF(TRIM(product_name_lenght, ' '), '') AS product_name_length,
    NULLIF(TRIM(product_description_lenght, ' '), '') AS product_description_length,
    NULLIF(TRIM(product_photos_qty, ' '), '') AS product_photos_qty,
    NULLIF(TRIM(product_weight_g, ' '), '') AS product_weight_g,
    NULLIF(TRIM(product_length_cm, ' '), '') AS product_length_cm,
    NULLIF(TRIM(product_height_cm, ' '), '') AS product_height_cm,
    NULLIF(TRIM(product_width_cm, ' '), '') AS product_width_cm,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    product_id AS product_id,
    product_category_name AS product_category_name,
    CASE
      WHEN REGEXP_MATCHES(product_name_length, '^[+-]?[0-9]+$')
      THEN TRY_CAST(product_name_length AS INT)
    END AS product_name_length,
    product_name_length AS product_name_length__text,
    CASE
      WHEN REGEXP_MATCHES(product_description_length, '^[+-]?[0-9]+$')
      THEN TRY_CAST(product_description_length AS INT)
    END AS product_description_length,
    product_description_length AS product_description_length__text,
    CASE
      WHEN REGEXP_MATCHES(product_photos_qty, '^[+-]?[0-9]+$')
      THEN TRY_CAST(product_photos_qty AS INT)
    END AS product_photos_qty,
    product_photos_qty AS product_photos_qty__text,
    CASE
      WHEN REGEXP_MATCHES(product_weight_g, '^[+-]?[0-9]+$')
      THEN TRY_CAST(product_weight_g AS INT)
    END AS product_weight_g,
    product_weight_g AS product_weight_g__text,
    CASE
      WHEN REGEXP_MATCHES(product_length_cm, '^[+-]?[0-9]+$')
      THEN TRY_CAST(product_length_cm AS INT)
    END AS product_length_cm,
    product_length_cm AS product_length_cm__text,
    CASE
      WHEN REGEXP_MATCHES(product_height_cm, '^[+-]?[0-9]+$')
      THEN TRY_CAST(product_height_cm AS INT)
    END AS product_height_cm,
    product_height_cm AS product_height_cm__text,
    CASE
      WHEN REGEXP_MATCHES(product_width_cm, '^[+-]?[0-9]+$')
      THEN TRY_CAST(product_width_cm AS INT)
    END AS product_width_cm,
    product_width_cm AS product_width_cm__text,
    _batch_id,
    _source_line,
    _delivery
  FROM cleaned
), judged AS MATERIALIZED (
  SELECT
    product_id,
    product_category_name,
    product_name_length,
    product_description_length,
    product_photos_qty,
    product_weight_g,
    product_length_cm,
    product_height_cm,
    product_width_cm,
    _batch_id,
    _source_line,
    _delivery,
    CONCAT_WS(
      ', ',
      CASE WHEN product_id IS NULL THEN 'product_id is empty' END,
      CASE
        WHEN product_name_length__text IS NOT NULL AND product_name_length IS NULL
        THEN 'product_name_length is not a integer'
      END,
      CASE
        WHEN product_description_length__text IS NOT NULL
        AND product_description_length IS NULL
        THEN 'product_description_length is not a integer'
      END,
      CASE
        WHEN product_photos_qty__text IS NOT NULL AND product_photos_qty IS NULL
        THEN 'product_photos_qty is not a integer'
      END,
      CASE
        WHEN product_weight_g__text IS NOT NULL AND product_weight_g IS NULL
        THEN 'product_weight_g is not a integer'
      END,
      CASE
        WHEN product_length_cm__text IS NOT NULL AND product_length_cm IS NULL
        THEN 'product_length_cm is not a integer'
      END,
      CASE
        WHEN product_height_cm__text IS NOT NULL AND product_height_cm IS NULL
        THEN 'product_height_cm is not a integer'
      END,
      CASE
        WHEN product_width_cm__text IS NOT NULL AND product_width_cm IS NULL
        THEN 'product_width_cm is not a integer'
      END,
      CASE
        WHEN product_id IS NOT NULL AND NOT (
          REGEXP_MATCHES(product_id, '^[0-9a-f]{32}$')
        )
        THEN 'product_id_is_a_hash'
      END,
      CASE
        WHEN product_name_length IS NOT NULL AND NOT (
          product_name_length >= 0
        )
        THEN 'product_name_length_is_not_negative'
      END,
      CASE
        WHEN product_description_length IS NOT NULL
        AND NOT (
          product_description_length >= 0
        )
        THEN 'product_description_length_is_not_negative'
      END,
      CASE
        WHEN product_photos_qty IS NOT NULL AND NOT (
          product_photos_qty >= 0
        )
        THEN 'product_photos_qty_is_not_negative'
      END,
      CASE
        WHEN product_weight_g IS NOT NULL AND NOT (
          product_weight_g >= 0
        )
        THEN 'product_weight_g_is_not_negative'
      END,
      CASE
        WHEN product_length_cm IS NOT NULL AND NOT (
          product_length_cm >= 0
        )
        THEN 'product_length_cm_is_not_negative'
      END,
      CASE
        WHEN product_height_cm IS NOT NULL AND NOT (
          product_height_cm >= 0
        )
        THEN 'product_height_cm_is_not_negative'
      END,
      CASE
        WHEN product_width_cm IS NOT NULL AND NOT (
          product_width_cm >= 0
        )
        THEN 'product_width_cm_is_not_negative'
      END
    ) AS _reasons
  FROM typed
)
SELECT
  product_id,
  product_category_name,
  product_name_length,
  product_description_length,
  product_photos_qty,
  product_weight_g,
  product_length_cm,
  product_height_cm,
  product_width_cm,
  _batch_id,
  _source_line,
  _delivery,
  _reasons,
  ROW_NUMBER() OVER (
    PARTITION BY _reasons = '', product_id
    ORDER BY _delivery DESC NULLS FIRST, _source_line DESC NULLS FIRST, _batch_id
  ) AS _rank
FROM judged
