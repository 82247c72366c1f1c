-- Compiled from contracts/olist/order_payments.yaml by `make generate`. Do not edit.
create table if not exists raw.olist_order_payments (
    order_id text,
    payment_sequential text,
    payment_type text,
    payment_installments text,
    payment_value text,
    _batch_id uuid not null,
    _source_key text not null,
    _source_hash text not null,
    _source_line bigint not null,
    _ingested_at timestamptz not null
) partition by list (_batch_id);
comment on table raw.olist_order_payments is 'Payments of orders; one order may be paid in several ways. As landed, all text.';
comment on column raw.olist_order_payments.order_id is 'Order.';
comment on column raw.olist_order_payments.payment_sequential is 'Number of the payment within its order, from 1.';
comment on column raw.olist_order_payments.payment_type is 'Means of payment.';
comment on column raw.olist_order_payments.payment_installments is 'Instalments; 0 and 1 both mean paid at once.';
comment on column raw.olist_order_payments.payment_value is 'Paid amount, in BRL; vouchers may pay 0.';
comment on column raw.olist_order_payments._batch_id is 'The file the row came in (ops.batch).';
comment on column raw.olist_order_payments._source_key is 'Name of that file in the landing zone.';
comment on column raw.olist_order_payments._source_hash is 'Hash of that file''s content.';
comment on column raw.olist_order_payments._source_line is 'Number of the row in that file, from 1.';
comment on column raw.olist_order_payments._ingested_at is 'When the file was read, UTC.';
