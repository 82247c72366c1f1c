"""The gate: rules held against staged rows where they are computed, its verdict, and the pages that show it."""
