-- Headline figures by day of purchase, whatever became of the orders.
with totals as (
    select
        orders.order_date,
        count(*) as order_count,
        sum(case when orders.is_delivered then 1 else 0 end) as delivered_order_count,
        sum(case when orders.is_canceled then 1 else 0 end) as canceled_order_count,
        sum(case when orders.item_count = 0 then 1 else 0 end) as no_items_order_count,
        sum(orders.item_count) as item_count,
        sum(orders.item_price_brl) as item_price_brl,
        sum(orders.freight_brl) as freight_brl,
        sum(orders.payment_brl) as payment_brl,
        sum(case when orders.payment_count > 0 then 1 else 0 end) as paid_order_count,
        count(distinct orders.customer_unique_id) as customer_count,
        sum(case when orders.customer_order_number = 1 then 1 else 0 end) as new_customer_count,
        count(orders.is_late) as timed_delivery_order_count,
        sum(case when orders.is_late then 1 else 0 end) as late_order_count,
        sum(case when orders.is_late is not null then orders.delivery_hours end) as delivery_hours_sum,
        sum(orders.review_count) as review_count,
        sum(case when orders.review_count > 0 then 1 else 0 end) as reviewed_order_count,
        count(orders.review_score_latest) as scored_order_count,
        sum(orders.review_score_latest) as review_score_sum
    from affected.order_date as unit
    inner join gold.fact_order as orders on unit.order_date = orders.order_date
    group by orders.order_date
)

select
    totals.order_date,
    totals.order_count,
    totals.delivered_order_count,
    totals.canceled_order_count,
    totals.no_items_order_count,
    totals.item_count,
    totals.item_price_brl,
    totals.freight_brl,
    totals.payment_brl,
    cast(totals.payment_brl as double precision)
    / nullif(totals.paid_order_count, 0) as order_value_average_brl,
    totals.customer_count,
    totals.new_customer_count,
    totals.timed_delivery_order_count,
    totals.late_order_count,
    cast(totals.late_order_count as double precision)
    / nullif(totals.timed_delivery_order_count, 0) as late_rate,
    cast(totals.delivery_hours_sum as double precision)
    / nullif(totals.timed_delivery_order_count, 0) as delivery_hours_average,
    totals.review_count,
    totals.reviewed_order_count,
    cast(totals.review_score_sum as double precision)
    / nullif(totals.scored_order_count, 0) as review_score_average
from totals
