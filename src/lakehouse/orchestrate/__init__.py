"""The Airflow adapter: DAG factory, sensor and task bodies. The only room that imports Airflow."""
