-- Products that changed, and those whose category got, lost or changed its translation.
select products.product_id
from changed.olist_products as products
union
select products.product_id
from changed.olist_product_category_translation as translations
inner join ods.olist_products as products
    on translations.product_category_name = products.product_category_name
