-- Products of which a delivery said something else, and those whose category got, lost or changed its translation.
select history.product_id
from changed.olist_products_history as history
union
select history.product_id
from changed.olist_product_category_translation as translations
inner join ods.olist_products_history as history
    on translations.product_category_name = history.product_category_name
