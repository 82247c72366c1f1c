-- Items of orders, with the order's payments shared out to them in whole cents by the largest-remainder method.
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
        (remainders.weighted_cents - remainders.division_remainder) // remainders.order_weight as share_cents
    from remainders
),

ranked as (
    select
        item_shares.*,
        item_shares.order_payment_cents
        - sum(item_shares.share_cents) over (partition by item_shares.order_id) as left_over_cents,
        row_number() over (
            partition by item_shares.order_id
            order by item_shares.division_remainder desc, item_shares.order_item_id asc
        ) as remainder_rank
    from item_shares
)

select
    items.order_id,
    items.order_item_id,
    items.order_date,
    items.customer_key,
    items.product_id,
    dim_product.product_key,
    items.seller_id,
    dim_seller.seller_key,
    items.shipping_limit_at,
    items.order_delivered_carrier_at > items.shipping_limit_at as is_handed_over_late,
    items.price_brl,
    items.freight_brl,
    cast(
        items.share_cents + case when items.remainder_rank <= items.left_over_cents then 1 else 0 end
        as numeric(14, 0)
    ) * 0.01 as allocated_payment_brl
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
