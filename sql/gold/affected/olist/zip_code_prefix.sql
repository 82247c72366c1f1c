-- Prefixes of changed points and addresses, and the prefixes that changed addresses had in the published
-- dimensions: when nobody uses such a prefix any more, its row goes.
select geolocation.zip_code_prefix
from changed.olist_geolocation as geolocation
where geolocation.zip_code_prefix is not null
union
select customers.zip_code_prefix
from changed.olist_customers as customers
where customers.zip_code_prefix is not null
union
select sellers.zip_code_prefix
from changed.olist_sellers as sellers
where sellers.zip_code_prefix is not null
union
select published.zip_code_prefix
from changed.olist_customers as customers
inner join gold.dim_customer as published on customers.customer_unique_id = published.customer_unique_id
where published.zip_code_prefix is not null
union
select published.zip_code_prefix
from changed.olist_sellers as sellers
inner join gold.dim_seller as published on sellers.seller_id = published.seller_id
where published.zip_code_prefix is not null
