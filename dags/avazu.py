"""Airflow DAGs of Avazu, the ad impressions source: one table of events, a delivery is a day."""

from datetime import timedelta

from assets import AVAZU
from lakehouse.orchestrate.factory import Source, build_dags

SOURCE = Source(
    name="avazu",
    summary="Ad impressions and clicks of the Avazu platform, by the hour.",
    owner="ads-data",
    impact={
        "bronze": "The day's impressions are not in the lakehouse; everything after this waits.",
        "silver": "`ods.avazu_impressions` and the silver lake table lack the day; gold waits.",
        "gold": "Click-through rates by hour and day lack the day.",
    },
    assets=AVAZU,
    tags=("advertising",),
    stage_timeout=timedelta(hours=2),
)

globals().update(build_dags(SOURCE))
