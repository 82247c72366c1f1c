"""Airflow DAG of the site: the pages about the data, built beside what makes it."""

from lakehouse.orchestrate.site import build_site_dag

DAG = build_site_dag(owner="platform")
