-- Persons and where they lived, versioned by the time of the purchases that gave the addresses.
with purchases as (
    select
        customers.customer_unique_id,
        customers.zip_code_prefix,
        customers.city,
        customers.state,
        orders.order_purchased_at,
        row_number() over (
            partition by customers.customer_unique_id, orders.order_purchased_at
            order by orders.order_id desc
        ) as rank_within_second
    from affected.customer_unique_id as unit
    inner join ods.olist_customers as customers on unit.customer_unique_id = customers.customer_unique_id
    inner join ods.olist_orders as orders on customers.customer_id = orders.customer_id
),

compared as (
    select
        purchases.customer_unique_id,
        purchases.zip_code_prefix,
        purchases.city,
        purchases.state,
        purchases.order_purchased_at,
        row_number() over person_history as purchase_number,
        lag(purchases.zip_code_prefix) over person_history as previous_zip_code_prefix,
        lag(purchases.city) over person_history as previous_city,
        lag(purchases.state) over person_history as previous_state
    from purchases
    where purchases.rank_within_second = 1
    window person_history as (
        partition by purchases.customer_unique_id order by purchases.order_purchased_at
    )
),

versions as (
    select
        compared.customer_unique_id,
        compared.zip_code_prefix,
        compared.city,
        compared.state,
        compared.order_purchased_at as valid_from,
        lead(compared.order_purchased_at) over (
            partition by compared.customer_unique_id order by compared.order_purchased_at
        ) as valid_to
    from compared
    where
        compared.purchase_number = 1
        or compared.zip_code_prefix is distinct from compared.previous_zip_code_prefix
        or compared.city is distinct from compared.previous_city
        or compared.state is distinct from compared.previous_state
)

select
    md5(versions.customer_unique_id || '|' || cast(versions.valid_from as text)) as customer_key,
    versions.customer_unique_id,
    versions.zip_code_prefix,
    versions.city,
    versions.state,
    versions.valid_from,
    versions.valid_to,
    versions.valid_to is null as is_current
from versions
