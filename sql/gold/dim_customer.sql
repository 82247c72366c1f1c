/*
description: >
  Persons and where they lived, as a type 2 slowly changing dimension in business time. The source issues a new customer_id
  for every order; the person is customer_unique_id. The address a person gave with an order is valid from the
  moment of that purchase until the next purchase with another address. A person without any order does not appear.
  When a person placed several orders in the same second with different addresses, the order with the greatest
  order_id decides.
source: olist
grain: one row per person and uninterrupted stay at one address (zip code prefix, city, state)
key: [customer_key]
affected_by: customer_unique_id
columns:
  customer_key: Surrogate key of the version, md5 of person and valid_from; facts refer to it
  customer_unique_id: The person
  zip_code_prefix: First five digits of the postcode; refers to dim_geography
  city: City as given with the order
  state: Two-letter state
  valid_from: Purchase time of the first order from this address (local Brazilian time), inclusive
  valid_to: Purchase time of the first order from the next address, exclusive; NULL while current
  is_current: The address of the person's latest order
pii:
  customer_key: pseudonym
  customer_unique_id: pseudonym
  zip_code_prefix: personal
  city: personal
references:
  zip_code_prefix: gold.dim_geography.zip_code_prefix
rules:
  - name: versions_do_not_overlap
    severity: hard
    description: At any time at most one version of a person is valid
    sql: >
      SELECT earlier.customer_key FROM staged AS earlier
      INNER JOIN staged AS later
      ON earlier.customer_unique_id = later.customer_unique_id AND earlier.valid_from < later.valid_from
      WHERE earlier.valid_to IS NULL OR earlier.valid_to > later.valid_from
  - name: versions_have_a_length
    severity: hard
    description: A version ends after it begins
    sql: SELECT customer_key FROM staged WHERE valid_to <= valid_from
  - name: one_current_version
    severity: hard
    description: Exactly one version of each person is current, and it is the open one
    sql: >
      SELECT min(customer_key) AS customer_key FROM staged GROUP BY customer_unique_id
      HAVING sum(CASE WHEN is_current THEN 1 ELSE 0 END) <> 1
      OR sum(CASE WHEN is_current <> (valid_to IS NULL) THEN 1 ELSE 0 END) > 0
*/
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
    cast(md5(versions.customer_unique_id || '|' || cast(versions.valid_from as text)) as text) as customer_key,
    cast(versions.customer_unique_id as text) as customer_unique_id,
    cast(versions.zip_code_prefix as text) as zip_code_prefix,
    cast(versions.city as text) as city,
    cast(versions.state as text) as state,
    cast(versions.valid_from as timestamp) as valid_from,
    cast(versions.valid_to as timestamp) as valid_to,
    cast(versions.valid_to is null as boolean) as is_current
from versions
