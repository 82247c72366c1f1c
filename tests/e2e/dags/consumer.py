"""A DAG of somebody else, who schedules on one table."""

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable

with DAG(
    "report_of_kpis",
    schedule=PartitionedAssetTimetable(assets=Asset.ref(name="olist/gold/kpi_daily")),
    catchup=False,
) as dag:
    PythonOperator(task_id="report", python_callable=print)
