"""The two homes of every layer: the lake (Iceberg on S3) and the warehouse (Postgres)."""
