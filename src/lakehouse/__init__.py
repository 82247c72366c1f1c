"""Lakehouse-lite: files from landing to gold, in a lake and a warehouse, published by one COMMIT."""
