-- Orders, payments, lateness and satisfaction by month, with the year before beside them.
with months as (
    select
        date_trunc('month', order_date)::date as order_month,
        sum(order_count) as order_count,
        sum(payment_brl) as payment_brl,
        sum(late_order_count)::numeric / nullif(sum(timed_delivery_order_count), 0) as late_rate,
        sum(review_score_average * reviewed_order_count) / nullif(sum(reviewed_order_count), 0) as review_score_average
    from gold.kpi_daily
    group by 1
)

select
    months.*,
    before.payment_brl as payment_brl_year_before
from months
left join months as before on months.order_month = before.order_month + interval '1 year'
order by months.order_month;
