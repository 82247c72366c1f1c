-- Compiled from contracts/olist/order_reviews.yaml by `make generate`. Do not edit.
WITH cleaned AS MATERIALIZED (
  SELECT
    NULLIF(TRIM(review_id, ' '), '') AS review_id,
    NULLIF(TRIM(order_id, ' '), '') AS order_id,
    NULLIF(TRIM(review_score, ' '), '') AS review_score,
    NULLIF(TRIM(review_comment_title, ' '), '') AS review_comment_title,
    NULLIF(TRIM(review_comment_message, ' '), '') AS review_comment_message,
    NULLIF(TRIM(review_creation_date, ' '), '') AS review_creation_date,
    NULLIF(TRIM(review_answer_timestamp, ' '), '') AS review_answered_at,
    _batch_id,
    _source_line,
    _delivery
  FROM raw_input
), typed AS MATERIALIZED (
  SELECT
    review_id AS review_id,
    order_id AS order_id,
    CASE
      WHEN REGEXP_MATCHES(review_score, '^[+-]?[0-9]+$')
      THEN TRY_CAST(review_score AS SMALLINT)
    END AS review_score,
    review_score AS review_score__text,
    review_comment_title AS review_comment_title,
    review_comment_message AS review_comment_message,
    CASE
      WHEN review_creation_date >= '0'
      AND review_creation_date < ':'
      AND (
        LENGTH(review_creation_date) IN (10, 19)
        OR REGEXP_MATCHES(review_creation_date, '^.{19}[.][0-9]{1,6}$')
      )
      AND SUBSTRING(
        CAST(TRY_CAST(review_creation_date AS TIMESTAMP) AS TEXT),
        1,
        LEAST(LENGTH(review_creation_date), 19)
      ) = REPLACE(SUBSTRING(review_creation_date, 1, 19), 'T', ' ')
      THEN CAST(TRY_CAST(review_creation_date AS TIMESTAMP) AS DATE)
    END AS review_creation_date,
    review_creation_date AS review_creation_date__text,
    CASE
      WHEN review_answered_at >= '0'
      AND review_answered_at < ':'
      AND (
        LENGTH(review_answered_at) IN (10, 19)
        OR REGEXP_MATCHES(review_answered_at, '^.{19}[.][0-9]{1,6}$')
      )
      AND SUBSTRING(
        CAST(TRY_CAST(review_answered_at AS TIMESTAMP) AS TEXT),
        1,
        LEAST(LENGTH(review_answered_at), 19)
      ) = REPLACE(SUBSTRING(review_answered_at, 1, 19), 'T', ' ')
      THEN TRY_CAST(review_answered_at AS TIMESTAMP)
    END AS review_answered_at,
    review_answered_at AS review_answered_at__text,
    _batch_id,
    _source_line,
    _delivery
  FROM cleaned
), judged AS MATERIALIZED (
  SELECT
    review_id,
    order_id,
    review_score,
    review_comment_title,
    review_comment_message,
    review_creation_date,
    review_answered_at,
    _batch_id,
    _source_line,
    _delivery,
    CONCAT_WS(
      ', ',
      CASE WHEN review_id IS NULL THEN 'review_id is empty' END,
      CASE WHEN order_id IS NULL THEN 'order_id is empty' END,
      CASE
        WHEN review_score__text IS NOT NULL AND review_score IS NULL
        THEN 'review_score is not a smallint'
      END,
      CASE WHEN review_score__text IS NULL THEN 'review_score is empty' END,
      CASE
        WHEN review_creation_date__text IS NOT NULL AND review_creation_date IS NULL
        THEN 'review_creation_date is not a date'
      END,
      CASE
        WHEN review_creation_date__text IS NULL
        THEN 'review_creation_date is empty'
      END,
      CASE
        WHEN review_answered_at__text IS NOT NULL AND review_answered_at IS NULL
        THEN 'review_answered_at is not a timestamp'
      END,
      CASE WHEN review_answered_at__text IS NULL THEN 'review_answered_at is empty' END,
      CASE
        WHEN review_id IS NOT NULL AND NOT (
          REGEXP_MATCHES(review_id, '^[0-9a-f]{32}$')
        )
        THEN 'review_id_is_a_hash'
      END,
      CASE
        WHEN review_score IS NOT NULL AND NOT (
          review_score >= 1 AND review_score <= 5
        )
        THEN 'review_score_is_one_to_five'
      END
    ) AS _reasons
  FROM typed
)
SELECT
  review_id,
  order_id,
  review_score,
  review_comment_title,
  review_comment_message,
  review_creation_date,
  review_answered_at,
  _batch_id,
  _source_line,
  _delivery,
  _reasons,
  ROW_NUMBER() OVER (
    PARTITION BY _reasons = '', review_id, order_id
    ORDER BY _delivery DESC NULLS FIRST, _source_line DESC NULLS FIRST, _batch_id
  ) AS _rank
FROM judged
