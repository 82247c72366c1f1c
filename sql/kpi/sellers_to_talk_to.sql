-- Sellers with many orders, many of them late, badly reviewed: over all months.
select
    seller_id,
    sum(order_count) as order_count,
    sum(late_order_count)::numeric / nullif(sum(timed_delivery_order_count), 0) as late_rate,
    avg(review_score_average) as review_score_average
from gold.seller_scorecard_monthly
group by seller_id
having sum(order_count) >= 10
order by late_rate desc nulls last, order_count desc
limit 50;
