-- Compiled from contracts/olist/order_reviews.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_order_reviews (
    review_id text not null,
    order_id text not null,
    review_score smallint not null,
    review_comment_title text,
    review_comment_message text,
    review_creation_date date not null,
    review_answered_at timestamp not null,
    _batch_id uuid not null,
    _source_line bigint not null,
    _publish_id bigint not null,
    primary key (review_id, order_id)
) partition by list (review_id);
create index if not exists olist_order_reviews__publish_id_idx on ods.olist_order_reviews using brin (_publish_id);
create index if not exists olist_order_reviews_order_id_idx on ods.olist_order_reviews (order_id);
comment on table ods.olist_order_reviews is 'Reviews that customers wrote after delivery or after the promised date. One row per review and order; a review id may occur for several orders, an order may have several reviews.';
comment on column ods.olist_order_reviews.review_id is 'Review; not unique by itself.';
comment on column ods.olist_order_reviews.order_id is 'Order.';
comment on column ods.olist_order_reviews.review_score is 'Stars, 1 to 5.';
comment on column ods.olist_order_reviews.review_comment_title is 'Title, free text in Portuguese; may name people.';
comment on column ods.olist_order_reviews.review_comment_message is 'Text, free text in Portuguese; may name people.';
comment on column ods.olist_order_reviews.review_creation_date is 'Day the questionnaire was sent.';
comment on column ods.olist_order_reviews.review_answered_at is 'When it was answered, Brazilian local time.';
comment on column ods.olist_order_reviews._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_order_reviews._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_order_reviews._publish_id is 'The publish that wrote the row last (ops.publish).';
