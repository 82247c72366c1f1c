"""The Airflow adapter: DAG factory, sensor, turns, task bodies, catching up. The only room that imports Airflow."""
