-- title: Payment mix by month
-- text: Share of the amounts paid by each means. Months with fewer than 30 payments are left out.
-- kind: shares
-- unit: share
select
    x,
    replace(payment_type, '_', ' ') as series,
    (brl / nullif(sum(brl) over (partition by x), 0))::float as y
from (
    select
        date_trunc('month', order_date)::date as x,
        payment_type,
        sum(payment_brl) as brl,
        sum(sum(payment_count)) over (partition by date_trunc('month', order_date)) as month_payments
    from gold.payment_mix_daily
    group by date_trunc('month', order_date), payment_type
) as months
where month_payments >= 30
order by 1, 2
