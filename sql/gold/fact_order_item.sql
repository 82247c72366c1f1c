/*
description: >
  Items of orders, with the order's payments shared out to them. An order's payments are allocated in proportion to price plus
  freight, in whole cents, by the largest-remainder method: every item gets its share rounded down, and the cents left
  over go one each to the items with the largest remainders (ties by order_item_id). So the items of an order add up to its
  payments exactly. Where price and freight of all items are zero, the items share equally. Without payments the
  allocation is zero.
source: olist
grain: one row per order and item
key: [order_id, order_item_id]
affected_by: order_id
columns:
  order_id: The order
  order_item_id: Number of the item within the order, from 1
  order_date: Day of purchase
  customer_key: Version of the person valid at the purchase; refers to dim_customer
  product_id: The product
  product_key: Version of the product valid at the purchase; refers to dim_product
  seller_id: The seller
  seller_key: Version of the seller valid at the purchase; refers to dim_seller
  shipping_limit_at: Time until which the seller had to hand the item to the carrier
  is_handed_over_late: The carrier got the order after shipping_limit_at; NULL while not handed over
  price_brl: Item price, without freight
  freight_brl: Freight of the item
  allocated_payment_brl: Share of the order's payments
pii:
  customer_key: pseudonym
references:
  order_id: gold.fact_order.order_id
  order_date: gold.dim_date.calendar_date
  customer_key: gold.dim_customer.customer_key
  product_key: gold.dim_product.product_key
  seller_key: gold.dim_seller.seller_key
rules:
  - name: allocation_equals_payments
    severity: hard
    description: The allocated payments of an order's items are the order's payments, to the cent
    sql: >
      SELECT items.order_id FROM (
        SELECT order_id, sum(allocated_payment_brl) AS allocated_payment_brl FROM staged GROUP BY order_id
      ) AS items
      LEFT JOIN ods.olist_order_payments AS payments ON items.order_id = payments.order_id
      GROUP BY items.order_id, items.allocated_payment_brl
      HAVING items.allocated_payment_brl <> coalesce(sum(payments.payment_brl), 0)
  - name: items_match_source
    severity: hard
    description: All items of an order are here, with their prices and freight
    sql: >
      SELECT items.order_id, items.order_item_id FROM ods.olist_order_items AS items
      INNER JOIN (SELECT DISTINCT order_id FROM staged) AS orders ON items.order_id = orders.order_id
      LEFT JOIN staged ON items.order_id = staged.order_id AND items.order_item_id = staged.order_item_id
      WHERE staged.order_id IS NULL
      OR staged.price_brl <> items.price_brl OR staged.freight_brl <> items.freight_brl
  - name: product_version_resolves
    severity: hard
    description: The product has a version in dim_product that is valid at the purchase
    sql: >
      SELECT staged.order_id, staged.order_item_id FROM staged
      LEFT JOIN gold.dim_product AS dim_product ON staged.product_key = dim_product.product_key
      WHERE dim_product.product_key IS NULL OR dim_product.product_id <> staged.product_id
  - name: seller_version_resolves
    severity: hard
    description: The seller has a version in dim_seller that is valid at the purchase
    sql: >
      SELECT staged.order_id, staged.order_item_id FROM staged
      LEFT JOIN gold.dim_seller AS dim_seller ON staged.seller_key = dim_seller.seller_key
      WHERE dim_seller.seller_key IS NULL OR dim_seller.seller_id <> staged.seller_id
*/
with items as (
    select
        items.order_id,
        items.order_item_id,
        items.product_id,
        items.seller_id,
        items.shipping_limit_at,
        items.price_brl,
        items.freight_brl,
        orders.order_date,
        orders.order_purchased_at,
        orders.order_delivered_carrier_at,
        orders.customer_key,
        -- whole cents from here on: integers share out exactly, fractions do not
        cast(orders.payment_brl * 100 as bigint) as order_payment_cents,
        cast((items.price_brl + items.freight_brl) * 100 as bigint) as item_cents,
        sum(cast((items.price_brl + items.freight_brl) * 100 as bigint)) over (
            partition by items.order_id
        ) as order_cents
    from affected.order_id as unit
    inner join ods.olist_order_items as items on unit.order_id = items.order_id
    inner join gold.fact_order as orders on items.order_id = orders.order_id
),

weighted as (
    select
        items.*,
        case when items.order_cents > 0 then items.item_cents else 1 end as item_weight,
        cast(
            case
                when items.order_cents > 0 then items.order_cents
                else count(*) over (partition by items.order_id)
            end as bigint
        ) as order_weight
    from items
),

remainders as (
    select
        weighted.*,
        weighted.order_payment_cents * weighted.item_weight as weighted_cents,
        mod(weighted.order_payment_cents * weighted.item_weight, weighted.order_weight) as division_remainder
    from weighted
),

item_shares as (
    select
        remainders.*,
        -- divides without a rest
        cast((remainders.weighted_cents - remainders.division_remainder) / remainders.order_weight as bigint) as share_cents
    from remainders
),

ranked as (
    select
        item_shares.*,
        item_shares.order_payment_cents - sum(item_shares.share_cents) over (partition by item_shares.order_id) as left_over_cents,
        row_number() over (
            partition by item_shares.order_id order by item_shares.division_remainder desc, item_shares.order_item_id asc
        ) as remainder_rank
    from item_shares
)

select
    cast(items.order_id as text) as order_id,
    cast(items.order_item_id as integer) as order_item_id,
    cast(items.order_date as date) as order_date,
    cast(items.customer_key as text) as customer_key,
    cast(items.product_id as text) as product_id,
    cast(dim_product.product_key as text) as product_key,
    cast(items.seller_id as text) as seller_id,
    cast(dim_seller.seller_key as text) as seller_key,
    cast(items.shipping_limit_at as timestamp) as shipping_limit_at,
    cast(items.order_delivered_carrier_at > items.shipping_limit_at as boolean) as is_handed_over_late,
    cast(items.price_brl as numeric(12, 2)) as price_brl,
    cast(items.freight_brl as numeric(12, 2)) as freight_brl,
    cast(
        cast(
            items.share_cents + case when items.remainder_rank <= items.left_over_cents then 1 else 0 end
            as numeric(14, 0)
        ) * 0.01 as numeric(12, 2)
    ) as allocated_payment_brl
from ranked as items
left join gold.dim_product as dim_product
    on
        items.product_id = dim_product.product_id
        and items.order_purchased_at >= dim_product.valid_from
        and (dim_product.valid_to is null or items.order_purchased_at < dim_product.valid_to)
left join gold.dim_seller as dim_seller
    on
        items.seller_id = dim_seller.seller_id
        and items.order_purchased_at >= dim_seller.valid_from
        and (dim_seller.valid_to is null or items.order_purchased_at < dim_seller.valid_to)
