"""Airflow DAGs of Olist, the Brazilian e-commerce source: nine tables, one delivery a day at most."""

from assets import OLIST
from lakehouse.orchestrate.factory import Source, build_dags

SOURCE = Source(
    name="olist",
    summary="Orders, items, payments, reviews, customers, products and sellers of the Olist marketplace.",
    owner="commerce-data",
    impact={
        "bronze": "The day's files are not in the lakehouse; everything after this waits.",
        "silver": "`ods.olist_*` and the silver lake tables stay at the previous delivery; gold waits.",
        "gold": "Figures on revenue, deliveries, cohorts, sellers and payments stay as they were.",
    },
    assets=OLIST,
    tags=("e-commerce",),
)

globals().update(build_dags(SOURCE))
