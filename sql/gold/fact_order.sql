-- Orders with milestones, durations and lateness, and the totals of their items, payments and reviews.
with affected_orders as (
    select
        orders.order_id,
        orders.customer_id,
        customers.customer_unique_id,
        orders.order_status,
        orders.order_purchased_at,
        orders.order_approved_at,
        orders.order_delivered_carrier_at,
        orders.order_delivered_customer_at,
        orders.order_estimated_delivery_date,
        orders.order_status = 'delivered' as is_delivered,
        orders.order_status = 'delivered'
        and orders.order_delivered_customer_at is not null as has_delivery_time
    from affected.order_id as unit
    inner join ods.olist_orders as orders on unit.order_id = orders.order_id
    -- an order that lost its customer stays visible here and is refused by customer_version_resolves
    left join ods.olist_customers as customers on orders.customer_id = customers.customer_id
),

persons as (
    select distinct affected_orders.customer_unique_id
    from affected_orders
),

-- all orders of these persons, affected or not: a person's order number counts them all
person_orders as (
    select
        orders.order_id,
        row_number() over (
            partition by customers.customer_unique_id order by orders.order_purchased_at, orders.order_id
        ) as customer_order_number,
        min(orders.order_purchased_at) over (
            partition by customers.customer_unique_id
        ) as customer_first_order_at
    from persons
    inner join ods.olist_customers as customers on persons.customer_unique_id = customers.customer_unique_id
    inner join ods.olist_orders as orders on customers.customer_id = orders.customer_id
),

item_totals as (
    select
        items.order_id,
        count(*) as item_count,
        count(distinct items.seller_id) as seller_count,
        sum(items.price_brl) as item_price_brl,
        sum(items.freight_brl) as freight_brl
    from affected.order_id as unit
    inner join ods.olist_order_items as items on unit.order_id = items.order_id
    group by items.order_id
),

payment_totals as (
    select
        payments.order_id,
        count(*) as payment_count,
        sum(payments.payment_brl) as payment_brl,
        max(payments.payment_installments) as payment_installments_count,
        min(payments.payment_type) as first_payment_type,
        min(payments.payment_type) <> max(payments.payment_type) as has_several_types
    from affected.order_id as unit
    inner join ods.olist_order_payments as payments on unit.order_id = payments.order_id
    group by payments.order_id
),

-- few orders are paid by several types; only these are ranked
ranked_payment_types as (
    select
        payments.order_id,
        payments.payment_type,
        row_number() over (
            partition by payments.order_id
            order by sum(payments.payment_brl) desc, payments.payment_type asc
        ) as payment_type_rank
    from payment_totals
    inner join ods.olist_order_payments as payments on payment_totals.order_id = payments.order_id
    where payment_totals.has_several_types
    group by payments.order_id, payments.payment_type
),

ranked_reviews as (
    select
        reviews.order_id,
        reviews.review_score,
        row_number() over (
            partition by reviews.order_id
            order by
                coalesce(reviews.review_answered_at, timestamp '0001-01-01 00:00:00') desc,
                coalesce(reviews.review_creation_date, date '0001-01-01') desc,
                reviews.review_id desc
        ) as review_rank
    from affected.order_id as unit
    inner join ods.olist_order_reviews as reviews on unit.order_id = reviews.order_id
),

review_totals as (
    select
        ranked_reviews.order_id,
        count(*) as review_count,
        count(ranked_reviews.review_score) as scored_count,
        sum(ranked_reviews.review_score) as review_score_sum,
        max(case when ranked_reviews.review_rank = 1 then ranked_reviews.review_score end)
            as review_score_latest
    from ranked_reviews
    group by ranked_reviews.order_id
)

select
    orders.order_id,
    orders.customer_id,
    orders.customer_unique_id,
    dim_customer.customer_key,
    person_orders.customer_order_number,
    cast(person_orders.customer_first_order_at as date) as customer_first_order_date,
    orders.order_status,
    cast(orders.order_purchased_at as date) as order_date,
    orders.order_purchased_at,
    orders.order_approved_at,
    orders.order_delivered_carrier_at,
    orders.order_delivered_customer_at,
    orders.order_estimated_delivery_date,
    cast(orders.order_delivered_customer_at as date) as delivered_date,
    orders.is_delivered,
    orders.order_status in ('canceled', 'unavailable') as is_canceled,
    case
        when orders.has_delivery_time
            then cast(orders.order_delivered_customer_at as date) > orders.order_estimated_delivery_date
    end as is_late,
    case
        when orders.has_delivery_time
            then
                date_diff(
                    'day',
                    orders.order_estimated_delivery_date,
                    cast(orders.order_delivered_customer_at as date)
                )
    end as delay_days,
    date_diff(
        'day', cast(orders.order_purchased_at as date), cast(orders.order_delivered_customer_at as date)
    ) as delivery_days,
    -- rounded to four decimals of an hour: whole seconds never fall on a tie, so every engine rounds alike
    cast(date_diff('microsecond', orders.order_purchased_at, orders.order_approved_at) as double precision)
    / 3600000000 as approval_hours,
    cast(
        date_diff(
            'microsecond', orders.order_approved_at, orders.order_delivered_carrier_at
        ) as double precision
    )
    / 3600000000 as handover_hours,
    cast(
        date_diff(
            'microsecond', orders.order_delivered_carrier_at, orders.order_delivered_customer_at
        ) as double precision
    )
    / 3600000000 as transit_hours,
    cast(
        date_diff(
            'microsecond', orders.order_purchased_at, orders.order_delivered_customer_at
        ) as double precision
    )
    / 3600000000 as delivery_hours,
    coalesce(item_totals.item_count, 0) as item_count,
    coalesce(item_totals.seller_count, 0) as seller_count,
    coalesce(item_totals.item_price_brl, 0) as item_price_brl,
    coalesce(item_totals.freight_brl, 0) as freight_brl,
    coalesce(payment_totals.payment_count, 0) as payment_count,
    coalesce(payment_totals.payment_brl, 0) as payment_brl,
    payment_totals.payment_brl
    - item_totals.item_price_brl
    - item_totals.freight_brl as payment_difference_brl,
    payment_totals.payment_installments_count,
    coalesce(ranked_payment_types.payment_type, payment_totals.first_payment_type, 'none')
        as main_payment_type,
    coalesce(review_totals.review_count, 0) as review_count,
    cast(review_totals.review_score_sum as double precision)
    / nullif(review_totals.scored_count, 0) as review_score_average,
    review_totals.review_score_latest
from affected_orders as orders
left join person_orders on orders.order_id = person_orders.order_id
left join gold.dim_customer as dim_customer
    on
        orders.customer_unique_id = dim_customer.customer_unique_id
        and orders.order_purchased_at >= dim_customer.valid_from
        and (dim_customer.valid_to is null or orders.order_purchased_at < dim_customer.valid_to)
left join item_totals on orders.order_id = item_totals.order_id
left join payment_totals on orders.order_id = payment_totals.order_id
left join ranked_payment_types
    on orders.order_id = ranked_payment_types.order_id and ranked_payment_types.payment_type_rank = 1
left join review_totals on orders.order_id = review_totals.order_id
