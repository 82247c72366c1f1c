-- With what the orders of a day were paid, and the share of each means.
with totals as (
    select
        payments.order_date,
        payments.payment_type,
        count(*) as payment_count,
        count(distinct payments.order_id) as order_count,
        sum(payments.payment_brl) as payment_brl,
        sum(payments.payment_installments_count) as installments_sum,
        count(payments.payment_installments_count) as installments_known_count
    from affected.order_date as unit
    inner join gold.fact_order_payment as payments on unit.order_date = payments.order_date
    group by payments.order_date, payments.payment_type
),

shares as (
    select
        totals.order_date,
        totals.payment_type,
        totals.payment_count,
        totals.order_count,
        totals.payment_brl,
        totals.installments_sum,
        totals.installments_known_count,
        sum(totals.payment_brl) over (partition by totals.order_date) as day_payment_brl
    from totals
)

select
    shares.order_date,
    shares.payment_type,
    shares.payment_count,
    shares.order_count,
    shares.payment_brl,
    cast(shares.payment_brl as double precision)
    / nullif(cast(shares.day_payment_brl as double precision), 0) as payment_share_rate,
    cast(shares.installments_sum as double precision)
    / nullif(shares.installments_known_count, 0) as payment_installments_average
from shares
