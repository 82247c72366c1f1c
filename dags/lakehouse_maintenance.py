"""Airflow DAG of maintenance: every night, what nobody needs any more goes."""

from lakehouse.orchestrate.maintenance import build_maintenance_dag

DAG = build_maintenance_dag(owner="platform")
