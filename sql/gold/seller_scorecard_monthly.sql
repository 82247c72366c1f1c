-- What each seller sold in a month of purchase and how well it was carried out.
with seller_orders as (
    -- one row per order and seller, so that an order counts once however many items
    select
        unit.order_month,
        items.seller_id,
        items.order_id,
        count(*) as item_count,
        sum(items.price_brl) as item_price_brl,
        sum(items.freight_brl) as freight_brl,
        sum(items.allocated_payment_brl) as allocated_payment_brl,
        max(case when items.is_handed_over_late then 1 else 0 end) as late_handover_count
    from affected.order_month as unit
    inner join gold.fact_order_item as items
        on unit.order_month = cast(date_trunc('month', items.order_date) as date)
    group by unit.order_month, items.seller_id, items.order_id
),

totals as (
    select
        seller_orders.order_month,
        seller_orders.seller_id,
        count(*) as order_count,
        sum(seller_orders.item_count) as item_count,
        sum(seller_orders.item_price_brl) as item_price_brl,
        sum(seller_orders.freight_brl) as freight_brl,
        sum(seller_orders.allocated_payment_brl) as allocated_payment_brl,
        sum(case when orders.is_delivered then 1 else 0 end) as delivered_order_count,
        sum(case when orders.is_canceled then 1 else 0 end) as canceled_order_count,
        count(orders.order_delivered_carrier_at) as handed_over_order_count,
        sum(seller_orders.late_handover_count) as late_handover_order_count,
        count(orders.is_late) as timed_delivery_order_count,
        sum(case when orders.is_late then 1 else 0 end) as late_order_count,
        sum(case when orders.review_count > 0 then 1 else 0 end) as reviewed_order_count,
        count(orders.review_score_latest) as scored_order_count,
        sum(orders.review_score_latest) as review_score_sum
    from seller_orders
    inner join gold.fact_order as orders on seller_orders.order_id = orders.order_id
    group by seller_orders.order_month, seller_orders.seller_id
)

select
    totals.order_month,
    totals.seller_id,
    totals.order_count,
    totals.item_count,
    totals.item_price_brl,
    totals.freight_brl,
    totals.allocated_payment_brl,
    totals.delivered_order_count,
    totals.canceled_order_count,
    totals.handed_over_order_count,
    totals.late_handover_order_count,
    cast(totals.late_handover_order_count as double precision)
    / nullif(totals.handed_over_order_count, 0) as late_handover_rate,
    totals.timed_delivery_order_count,
    totals.late_order_count,
    cast(totals.late_order_count as double precision)
    / nullif(totals.timed_delivery_order_count, 0) as late_rate,
    totals.reviewed_order_count,
    cast(totals.review_score_sum as double precision)
    / nullif(totals.scored_order_count, 0) as review_score_average
from totals
