-- What sells where: the ten largest pairs of category and state of each month.
select *
from (
    select
        date_trunc('month', order_date)::date as order_month,
        category_name_english,
        customer_state,
        sum(item_count) as item_count,
        sum(allocated_payment_brl) as payment_brl,
        row_number() over (
            partition by date_trunc('month', order_date)::date order by sum(allocated_payment_brl) desc, category_name_english, customer_state
        ) as place
    from gold.category_state_daily
    group by 1, 2, 3
) as ranked
where place <= 10
order by order_month, place;
