-- title: What sells where
-- text: Item prices by category and the customer's state: the twelve largest of each.
-- kind: heatmap
-- unit: BRL
-- x: state
-- y: category
with sold as (
    select
        coalesce(category_name_english, 'no category') as category,
        coalesce(customer_state, '?') as state,
        sum(item_price_brl) as brl
    from gold.category_state_daily
    group by 1, 2
),
ranked as (
    select
        sold.*,
        c.place as category_place,
        s.place as state_place
    from sold
    inner join (select category, rank() over (order by sum(brl) desc, category) as place from sold group by category) as c
        using (category)
    inner join (select state, rank() over (order by sum(brl) desc, state) as place from sold group by state) as s
        using (state)
)
select replace(category, '_', ' ') as y, state as x, brl as value
from ranked
where category_place <= 12 and state_place <= 12
order by category_place, state_place
