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
alter table raw.olist_order_reviews add column if not exists review_id text;
alter table raw.olist_order_reviews add column if not exists order_id text;
alter table raw.olist_order_reviews add column if not exists review_score text;
alter table raw.olist_order_reviews add column if not exists review_comment_title text;
alter table raw.olist_order_reviews add column if not exists review_comment_message text;
alter table raw.olist_order_reviews add column if not exists review_creation_date text;
alter table raw.olist_order_reviews add column if not exists review_answer_timestamp text;
comment on table raw.olist_order_reviews is 'Reviews that customers wrote after delivery or after the promised date. As landed, all text.';
