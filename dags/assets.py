"""Every Asset of the lakehouse. An event of one means: this layer of this partition has been published.

Its ``extra`` holds partition_key, batch_ids, row_counts (by table), rows_written and verdict. Consumers
elsewhere schedule on it, for example ``PartitionedAssetTimetable(assets=Asset.ref(name="olist/gold"))``.

The URIs' scheme begins with ``x-``: for any other Airflow asks every provider how to read it, and so loads
boto3 into each process that reads a DAG file.
"""

from airflow.sdk import Asset

from lakehouse.orchestrate.factory import LayerAssets

OLIST = LayerAssets(
    bronze=Asset(name="olist/bronze", uri="x-lakehouse://olist/bronze", group="lakehouse"),
    silver=Asset(name="olist/silver", uri="x-lakehouse://olist/silver", group="lakehouse"),
    gold=Asset(name="olist/gold", uri="x-lakehouse://olist/gold", group="lakehouse"),
)

AVAZU = LayerAssets(
    bronze=Asset(name="avazu/bronze", uri="x-lakehouse://avazu/bronze", group="lakehouse"),
    silver=Asset(name="avazu/silver", uri="x-lakehouse://avazu/silver", group="lakehouse"),
    gold=Asset(name="avazu/gold", uri="x-lakehouse://avazu/gold", group="lakehouse"),
)
