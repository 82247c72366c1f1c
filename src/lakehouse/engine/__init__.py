"""The engine that computes every layer: DuckDB over lake files. The only room that knows it; the seam for another."""
