-- Compiled from contracts/olist/orders.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(BOTH ' ' FROM order_id), '') AS order_id,
    NULLIF(TRIM(BOTH ' ' FROM customer_id), '') AS customer_id,
    NULLIF(TRIM(BOTH ' ' FROM order_status), '') AS order_status,
    NULLIF(TRIM(BOTH ' ' FROM order_purchase_timestamp), '') AS order_purchased_at,
    NULLIF(TRIM(BOTH ' ' FROM order_approved_at), '') AS order_approved_at,
    NULLIF(TRIM(BOTH ' ' FROM order_delivered_carrier_date), '') AS order_delivered_carrier_at,
    NULLIF(TRIM(BOTH ' ' FROM order_delivered_customer_date), '') AS order_delivered_customer_at,
    NULLIF(TRIM(BOTH ' ' FROM order_estimated_delivery_date), '') AS order_estimated_delivery_date,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    order_id AS order_id,
    customer_id AS customer_id,
    order_status AS order_status,
    CASE
      WHEN order_purchased_at >= '0'
      AND order_purchased_at < ':'
      AND (
        LENGTH(order_purchased_at) IN (10, 19)
        OR order_purchased_at ~ '^.{19}[.][0-9]{1,6}$'
      )
      AND SUBSTRING(CAST(CASE
        WHEN PG_INPUT_IS_VALID(order_purchased_at, 'timestamp')
        THEN CAST(order_purchased_at AS TIMESTAMP)
      END AS TEXT) FROM 1 FOR LEAST(LENGTH(order_purchased_at), 19)) = REPLACE(SUBSTRING(order_purchased_at FROM 1 FOR 19), 'T', ' ')
      THEN CASE
        WHEN PG_INPUT_IS_VALID(order_purchased_at, 'timestamp')
        THEN CAST(order_purchased_at AS TIMESTAMP)
      END
    END AS order_purchased_at,
    order_purchased_at AS order_purchased_at__text,
    CASE
      WHEN order_approved_at >= '0'
      AND order_approved_at < ':'
      AND (
        LENGTH(order_approved_at) IN (10, 19)
        OR order_approved_at ~ '^.{19}[.][0-9]{1,6}$'
      )
      AND SUBSTRING(CAST(CASE
        WHEN PG_INPUT_IS_VALID(order_approved_at, 'timestamp')
        THEN CAST(order_approved_at AS TIMESTAMP)
      END AS TEXT) FROM 1 FOR LEAST(LENGTH(order_approved_at), 19)) = REPLACE(SUBSTRING(order_approved_at FROM 1 FOR 19), 'T', ' ')
      THEN CASE
        WHEN PG_INPUT_IS_VALID(order_approved_at, 'timestamp')
        THEN CAST(order_approved_at AS TIMESTAMP)
      END
    END AS order_approved_at,
    order_approved_at AS order_approved_at__text,
    CASE
      WHEN order_delivered_carrier_at >= '0'
      AND order_delivered_carrier_at < ':'
      AND (
        LENGTH(order_delivered_carrier_at) IN (10, 19)
        OR order_delivered_carrier_at ~ '^.{19}[.][0-9]{1,6}$'
      )
      AND SUBSTRING(CAST(CASE
        WHEN PG_INPUT_IS_VALID(order_delivered_carrier_at, 'timestamp')
        THEN CAST(order_delivered_carrier_at AS TIMESTAMP)
      END AS TEXT) FROM 1 FOR LEAST(LENGTH(order_delivered_carrier_at), 19)) = REPLACE(SUBSTRING(order_delivered_carrier_at FROM 1 FOR 19), 'T', ' ')
      THEN CASE
        WHEN PG_INPUT_IS_VALID(order_delivered_carrier_at, 'timestamp')
        THEN CAST(order_delivered_carrier_at AS TIMESTAMP)
      END
    END AS order_delivered_carrier_at,
    order_delivered_carrier_at AS order_delivered_carrier_at__text,
    CASE
      WHEN order_delivered_customer_at >= '0'
      AND order_delivered_customer_at < ':'
      AND (
        LENGTH(order_delivered_customer_at) IN (10, 19)
        OR order_delivered_customer_at ~ '^.{19}[.][0-9]{1,6}$'
      )
      AND SUBSTRING(CAST(CASE
        WHEN PG_INPUT_IS_VALID(order_delivered_customer_at, 'timestamp')
        THEN CAST(order_delivered_customer_at AS TIMESTAMP)
      END AS TEXT) FROM 1 FOR LEAST(LENGTH(order_delivered_customer_at), 19)) = REPLACE(SUBSTRING(order_delivered_customer_at FROM 1 FOR 19), 'T', ' ')
      THEN CASE
        WHEN PG_INPUT_IS_VALID(order_delivered_customer_at, 'timestamp')
        THEN CAST(order_delivered_customer_at AS TIMESTAMP)
      END
    END AS order_delivered_customer_at,
    order_delivered_customer_at AS order_delivered_customer_at__text,
    CASE
      WHEN order_estimated_delivery_date >= '0'
      AND order_estimated_delivery_date < ':'
      AND (
        LENGTH(order_estimated_delivery_date) IN (10, 19)
        OR order_estimated_delivery_date ~ '^.{19}[.][0-9]{1,6}$'
      )
      AND SUBSTRING(CAST(CASE
        WHEN PG_INPUT_IS_VALID(order_estimated_delivery_date, 'timestamp')
        THEN CAST(order_estimated_delivery_date AS TIMESTAMP)
      END AS TEXT) FROM 1 FOR LEAST(LENGTH(order_estimated_delivery_date), 19)) = REPLACE(SUBSTRING(order_estimated_delivery_date FROM 1 FOR 19), 'T', ' ')
      THEN CAST(CASE
        WHEN PG_INPUT_IS_VALID(order_estimated_delivery_date, 'timestamp')
        THEN CAST(order_estimated_delivery_date AS TIMESTAMP)
      END AS DATE)
    END AS order_estimated_delivery_date,
    order_estimated_delivery_date AS order_estimated_delivery_date__text,
    _batch_id,
    _source_line,
    _delivery
  FROM cleaned
), judged AS MATERIALIZED (
  SELECT
    order_id,
    customer_id,
    order_status,
    order_purchased_at,
    order_approved_at,
    order_delivered_carrier_at,
    order_delivered_customer_at,
    order_estimated_delivery_date,
    _batch_id,
    _source_line,
    _delivery,
    CONCAT_WS(
      ', ',
      CASE WHEN order_id IS NULL THEN 'order_id is empty' END,
      CASE WHEN customer_id IS NULL THEN 'customer_id is empty' END,
      CASE WHEN order_status IS NULL THEN 'order_status is empty' END,
      CASE
        WHEN order_purchased_at__text IS NOT NULL AND order_purchased_at IS NULL
        THEN 'order_purchased_at is not a timestamp'
      END,
      CASE WHEN order_purchased_at__text IS NULL THEN 'order_purchased_at is empty' END,
      CASE
        WHEN order_approved_at__text IS NOT NULL AND order_approved_at IS NULL
        THEN 'order_approved_at is not a timestamp'
      END,
      CASE
        WHEN order_delivered_carrier_at__text IS NOT NULL
        AND order_delivered_carrier_at IS NULL
        THEN 'order_delivered_carrier_at is not a timestamp'
      END,
      CASE
        WHEN order_delivered_customer_at__text IS NOT NULL
        AND order_delivered_customer_at IS NULL
        THEN 'order_delivered_customer_at is not a timestamp'
      END,
      CASE
        WHEN order_estimated_delivery_date__text IS NOT NULL
        AND order_estimated_delivery_date IS NULL
        THEN 'order_estimated_delivery_date is not a date'
      END,
      CASE
        WHEN order_estimated_delivery_date__text IS NULL
        THEN 'order_estimated_delivery_date is empty'
      END,
      CASE
        WHEN order_id IS NOT NULL AND NOT (
          order_id ~ '^[0-9a-f]{32}$'
        )
        THEN 'order_id_is_a_hash'
      END,
      CASE
        WHEN order_status IS NOT NULL
        AND NOT (
          order_status IN (
            'created',
            'approved',
            'invoiced',
            'processing',
            'shipped',
            'delivered',
            'unavailable',
            'canceled'
          )
        )
        THEN 'order_status_is_known'
      END,
      CASE
        WHEN order_purchased_at IS NOT NULL
        AND NOT (
          order_purchased_at >= '2016-01-01' AND order_purchased_at <= '2030-01-01'
        )
        THEN 'order_purchased_at_is_plausible'
      END
    ) AS _reasons
  FROM typed
)
SELECT
  order_id,
  customer_id,
  order_status,
  order_purchased_at,
  order_approved_at,
  order_delivered_carrier_at,
  order_delivered_customer_at,
  order_estimated_delivery_date,
  _batch_id,
  _source_line,
  _delivery,
  _reasons,
  ROW_NUMBER() OVER (
    PARTITION BY _reasons = '', order_id
    ORDER BY _delivery DESC, _source_line DESC, _batch_id
  ) AS _rank
FROM judged
