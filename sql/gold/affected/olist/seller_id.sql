-- Sellers of whom a delivery said something else.
select distinct history.seller_id
from changed.olist_sellers_history as history
