"""The laptop's servers: Postgres, MinIO and Airflow under one supervisor, without containers or root."""
