-- Compiled from contracts/olist/order_items.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(order_id, ' '), '') AS order_id,
    NULLIF(TRIM(order_item_id, ' '), '') AS order_item_id,
    NULLIF(TRIM(product_id, ' '), '') AS product_id,
    NULLIF(TRIM(seller_id, ' '), '') AS seller_id,
    NULLIF(TRIM(shipping_limit_date, ' '), '') AS shipping_limit_at,
    NULLIF(TRIM(price, ' '), '') AS price_brl,
    NULLIF(TRIM(freight_value, ' '), '') AS freight_brl,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    order_id AS order_id,
    CASE
      WHEN REGEXP_MATCHES(order_item_id, '^[+-]?[0-9]+$')
      THEN TRY_CAST(order_item_id AS SMALLINT)
    END AS order_item_id,
    order_item_id AS order_item_id__text,
    product_id AS product_id,
    seller_id AS seller_id,
    CASE
      WHEN shipping_limit_at >= '0'
      AND shipping_limit_at < ':'
      AND (
        LENGTH(shipping_limit_at) IN (10, 19)
        OR REGEXP_MATCHES(shipping_limit_at, '^.{19}[.][0-9]{1,6}$')
      )
      AND SUBSTRING(
        CAST(TRY_CAST(shipping_limit_at AS TIMESTAMP) AS TEXT),
        1,
        LEAST(LENGTH(shipping_limit_at), 19)
      ) = REPLACE(SUBSTRING(shipping_limit_at, 1, 19), 'T', ' ')
      THEN TRY_CAST(shipping_limit_at AS TIMESTAMP)
    END AS shipping_limit_at,
    shipping_limit_at AS shipping_limit_at__text,
    CASE
      WHEN REGEXP_MATCHES(price_brl, '^[+-]?[0-9]+([.][0-9]{1,2})?$')
      THEN TRY_CAST(price_brl AS DECIMAL(12, 2))
    END AS price_brl,
    price_brl AS price_brl__text,
    CASE
      WHEN REGEXP_MATCHES(freight_brl, '^[+-]?[0-9]+([.][0-9]{1,2})?$')
      THEN TRY_CAST(freight_brl AS DECIMAL(12, 2))
    END AS freight_brl,
    freight_brl AS freight_brl__text,
    _batch_id,
    _source_line,
    _delivery
  FROM cleaned
), judged AS MATERIALIZED (
  SELECT
    order_id,
    order_item_id,
    product_id,
    seller_id,
    shipping_limit_at,
    price_brl,
    freight_brl,
    _batch_id,
    _source_line,
    _delivery,
    CONCAT_WS(
      ', ',
      CASE WHEN order_id IS NULL THEN 'order_id is empty' END,
      CASE
        WHEN order_item_id__text IS NOT NULL AND order_item_id IS NULL
        THEN 'order_item_id is not a smallint'
      END,
      CASE WHEN order_item_id__text IS NULL THEN 'order_item_id is empty' END,
      CASE WHEN product_id IS NULL THEN 'product_id is empty' END,
      CASE WHEN seller_id IS NULL THEN 'seller_id is empty' END,
      CASE
        WHEN shipping_limit_at__text IS NOT NULL AND shipping_limit_at IS NULL
        THEN 'shipping_limit_at is not a timestamp'
      END,
      CASE WHEN shipping_limit_at__text IS NULL THEN 'shipping_limit_at is empty' END,
      CASE
        WHEN price_brl__text IS NOT NULL AND price_brl IS NULL
        THEN 'price_brl is not a numeric(12,2)'
      END,
      CASE WHEN price_brl__text IS NULL THEN 'price_brl is empty' END,
      CASE
        WHEN freight_brl__text IS NOT NULL AND freight_brl IS NULL
        THEN 'freight_brl is not a numeric(12,2)'
      END,
      CASE WHEN freight_brl__text IS NULL THEN 'freight_brl is empty' END,
      CASE
        WHEN order_item_id IS NOT NULL AND NOT (
          order_item_id >= 1
        )
        THEN 'order_item_id_is_positive'
      END,
      CASE
        WHEN price_brl IS NOT NULL AND NOT (
          price_brl >= 0
        )
        THEN 'price_brl_is_not_negative'
      END,
      CASE
        WHEN freight_brl IS NOT NULL AND NOT (
          freight_brl >= 0
        )
        THEN 'freight_brl_is_not_negative'
      END
    ) AS _reasons
  FROM typed
)
SELECT
  order_id,
  order_item_id,
  product_id,
  seller_id,
  shipping_limit_at,
  price_brl,
  freight_brl,
  _batch_id,
  _source_line,
  _delivery,
  _reasons,
  ROW_NUMBER() OVER (
    PARTITION BY _reasons = '', order_id, order_item_id
    ORDER BY _delivery DESC NULLS FIRST, _source_line DESC NULLS FIRST, _batch_id
  ) AS _rank
FROM judged
