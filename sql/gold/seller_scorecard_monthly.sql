/*
description: >
  What each seller sold in a month and how well it was carried out, by month of purchase. An order with items of several sellers
  counts for each of them, with its lateness and review; items and amounts are the seller's own.
source: olist
grain: one row per month of purchase and seller with at least one item ordered
key: [order_month, seller_id]
affected_by: order_month
columns:
  order_month: First day of the month of purchase
  seller_id: The seller
  order_count: Orders with an item of the seller
  item_count: Items sold
  item_price_brl: Sum of item prices, without freight
  freight_brl: Sum of item freight
  allocated_payment_brl: Share of the orders' payments allocated to the seller's items
  delivered_order_count: Orders whose status is delivered by now
  canceled_order_count: Orders whose status is canceled or unavailable by now
  handed_over_order_count: Orders the carrier received
  late_handover_order_count: Of these, orders with an item handed over after its shipping limit
  late_handover_rate: late_handover_order_count / handed_over_order_count
  timed_delivery_order_count: Delivered orders with a recorded delivery time
  late_order_count: Of these, orders delivered after the promised day
  late_rate: late_order_count / timed_delivery_order_count
  reviewed_order_count: Orders with a review
  review_score_average: Mean, over reviewed orders, of the latest score (1 to 5)
references:
  order_month: gold.dim_date.calendar_date
  seller_id: gold.dim_seller.seller_id
rules:
  - name: totals_reconcile_to_fact_order_item
    severity: hard
    description: Items and amounts of a month are those of fact_order_item, to the cent
    sql: >
      SELECT months.order_month, months.seller_id FROM (
        SELECT order_month, min(seller_id) AS seller_id, sum(item_count) AS item_count,
        sum(item_price_brl) AS item_price_brl, sum(freight_brl) AS freight_brl,
        sum(allocated_payment_brl) AS allocated_payment_brl
        FROM staged GROUP BY order_month
      ) AS months
      LEFT JOIN gold.fact_order_item AS items
      ON months.order_month = cast(date_trunc('month', items.order_date) AS date)
      GROUP BY months.order_month, months.seller_id, months.item_count, months.item_price_brl,
      months.freight_brl, months.allocated_payment_brl
      HAVING months.item_count <> count(items.order_id)
      OR months.item_price_brl <> sum(items.price_brl) OR months.freight_brl <> sum(items.freight_brl)
      OR months.allocated_payment_brl <> sum(items.allocated_payment_brl)
  - name: parts_do_not_exceed_the_whole
    severity: hard
    description: No part of the orders is larger than what it is part of
    sql: >
      SELECT order_month, seller_id FROM staged
      WHERE order_count > item_count OR delivered_order_count + canceled_order_count > order_count
      OR late_handover_order_count > handed_over_order_count OR handed_over_order_count > order_count
      OR late_order_count > timed_delivery_order_count OR timed_delivery_order_count > delivered_order_count
      OR reviewed_order_count > order_count
*/
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
    cast(totals.order_month as date) as order_month,
    cast(totals.seller_id as text) as seller_id,
    cast(totals.order_count as integer) as order_count,
    cast(totals.item_count as integer) as item_count,
    cast(totals.item_price_brl as numeric(14, 2)) as item_price_brl,
    cast(totals.freight_brl as numeric(14, 2)) as freight_brl,
    cast(totals.allocated_payment_brl as numeric(14, 2)) as allocated_payment_brl,
    cast(totals.delivered_order_count as integer) as delivered_order_count,
    cast(totals.canceled_order_count as integer) as canceled_order_count,
    cast(totals.handed_over_order_count as integer) as handed_over_order_count,
    cast(totals.late_handover_order_count as integer) as late_handover_order_count,
    cast(
        cast(totals.late_handover_order_count as double precision)
        / nullif(totals.handed_over_order_count, 0) as double precision
    ) as late_handover_rate,
    cast(totals.timed_delivery_order_count as integer) as timed_delivery_order_count,
    cast(totals.late_order_count as integer) as late_order_count,
    cast(
        cast(totals.late_order_count as double precision)
        / nullif(totals.timed_delivery_order_count, 0) as double precision
    ) as late_rate,
    cast(totals.reviewed_order_count as integer) as reviewed_order_count,
    cast(
        cast(totals.review_score_sum as double precision)
        / nullif(totals.scored_order_count, 0) as double precision
    ) as review_score_average
from totals
