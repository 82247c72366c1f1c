-- Compiled from contracts/olist/order_reviews.yaml by `make generate`. Do not edit.
create table if not exists raw.olist_order_reviews (
    review_id text,
    order_id text,
    review_score text,
    review_comment_title text,
    review_comment_message text,
    review_creation_date text,
    review_answer_timestamp text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
comment on table raw.olist_order_reviews is 'Reviews that customers wrote after delivery or after the promised date. As landed, all text.';
comment on column raw.olist_order_reviews.review_id is 'Review; not unique by itself.';
comment on column raw.olist_order_reviews.order_id is 'Order.';
comment on column raw.olist_order_reviews.review_score is 'Stars, 1 to 5.';
comment on column raw.olist_order_reviews.review_comment_title is 'Title, free text in Portuguese; may name people.';
comment on column raw.olist_order_reviews.review_comment_message is 'Text, free text in Portuguese; may name people.';
comment on column raw.olist_order_reviews.review_creation_date is 'Day the questionnaire was sent.';
comment on column raw.olist_order_reviews.review_answer_timestamp is 'When it was answered, Brazilian local time.';
comment on column raw.olist_order_reviews._batch_id is 'The file the row came in (ops.batch).';
comment on column raw.olist_order_reviews._source_key is 'Name of that file in the landing zone.';
comment on column raw.olist_order_reviews._source_hash is 'Hash of that file''s content.';
comment on column raw.olist_order_reviews._source_line is 'Number of the row in that file, from 1.';
comment on column raw.olist_order_reviews._ingested_at is 'When the file was read, UTC.';
