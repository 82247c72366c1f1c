-- Compiled from contracts/olist/order_payments.yaml by `make generate`. Do not edit.
create table if not exists ods.olist_order_payments (
    order_id text not null,
    payment_sequential smallint not null,
    payment_type text not null,
    payment_installments smallint not null,
    payment_brl numeric(12,2) not null,
    _batch_id uuid not null,
    _source_line bigint not null,
    _publish_id bigint not null,
    primary key (order_id, payment_sequential)
) partition by list (order_id);
create index if not exists olist_order_payments__publish_id_idx on ods.olist_order_payments using brin (_publish_id);
comment on table ods.olist_order_payments is 'Payments of orders; one order may be paid in several ways. One row per payment of an order.';
comment on column ods.olist_order_payments.order_id is 'Order.';
comment on column ods.olist_order_payments.payment_sequential is 'Number of the payment within its order, from 1.';
comment on column ods.olist_order_payments.payment_type is 'Means of payment.';
comment on column ods.olist_order_payments.payment_installments is 'Instalments; 0 and 1 both mean paid at once.';
comment on column ods.olist_order_payments.payment_brl is 'Paid amount, in BRL; vouchers may pay 0.';
comment on column ods.olist_order_payments._batch_id is 'The file the row came in (ops.batch).';
comment on column ods.olist_order_payments._source_line is 'Number of the row in that file, from 1.';
comment on column ods.olist_order_payments._publish_id is 'The publish that wrote the row last (ops.publish).';
