-- How many of the persons who first ordered in a month ordered again in each later month, up to the last month in which
-- one of them did.
with cohort_orders as (
    select
        unit.cohort_month,
        orders.customer_unique_id,
        orders.payment_brl,
        cast(
            (extract(year from orders.order_date) - extract(year from unit.cohort_month)) * 12
            + extract(month from orders.order_date) - extract(month from unit.cohort_month) as integer
        ) as month_number
    from affected.cohort_month as unit
    inner join gold.fact_order as orders
        on unit.cohort_month = cast(date_trunc('month', orders.customer_first_order_date) as date)
),

activity as (
    select
        cohort_orders.cohort_month,
        cohort_orders.month_number,
        count(distinct cohort_orders.customer_unique_id) as active_customer_count,
        count(*) as order_count,
        sum(cohort_orders.payment_brl) as payment_brl
    from cohort_orders
    group by cohort_orders.cohort_month, cohort_orders.month_number
),

cohorts as (
    select
        activity.cohort_month,
        max(activity.month_number) as last_month_number,
        sum(case when activity.month_number = 0 then activity.active_customer_count else 0 end)
            as cohort_customer_count
    from activity
    group by activity.cohort_month
),

-- 0 to 999 by digits: a series function would not be the same in every engine
month_numbers as (
    select hundreds.digit * 100 + tens.digit * 10 + ones.digit as month_number
    from (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as hundreds (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as tens (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as ones (digit)
)

select
    cohorts.cohort_month,
    month_numbers.month_number,
    cohorts.cohort_month + interval '1 month' * month_numbers.month_number as activity_month,
    cohorts.cohort_customer_count,
    coalesce(activity.active_customer_count, 0) as active_customer_count,
    cast(coalesce(activity.active_customer_count, 0) as double precision)
    / nullif(cohorts.cohort_customer_count, 0) as retention_rate,
    coalesce(activity.order_count, 0) as order_count,
    coalesce(activity.payment_brl, 0) as payment_brl
from cohorts
inner join month_numbers on cohorts.last_month_number >= month_numbers.month_number
left join activity
    on cohorts.cohort_month = activity.cohort_month and month_numbers.month_number = activity.month_number
