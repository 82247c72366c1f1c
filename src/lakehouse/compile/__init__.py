"""Contract → DDL, conform SQL, schemas, rules, pages. Pure functions, but for writing the generated files."""
