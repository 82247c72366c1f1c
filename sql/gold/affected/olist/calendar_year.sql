-- Years of all the dates a changed row carries. A date that was corrected leaves its old year in the
-- calendar on purpose: a calendar day is never wrong, and other rows may still use it.
with changed_dates as (
    select cast(orders.order_purchased_at as date) as changed_date
    from changed.olist_orders as orders
    union
    select cast(orders.order_approved_at as date) as changed_date
    from changed.olist_orders as orders
    union
    select cast(orders.order_delivered_carrier_at as date) as changed_date
    from changed.olist_orders as orders
    union
    select cast(orders.order_delivered_customer_at as date) as changed_date
    from changed.olist_orders as orders
    union
    select orders.order_estimated_delivery_date as changed_date
    from changed.olist_orders as orders
    union
    select reviews.review_creation_date as changed_date
    from changed.olist_order_reviews as reviews
    union
    select cast(reviews.review_answered_at as date) as changed_date
    from changed.olist_order_reviews as reviews
)

select distinct cast(extract(year from changed_dates.changed_date) as integer) as calendar_year
from changed_dates
-- an order not yet delivered has no delivery year
where changed_dates.changed_date is not null
