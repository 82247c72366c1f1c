-- Sellers that changed.
select distinct sellers.seller_id
from changed.olist_sellers as sellers
