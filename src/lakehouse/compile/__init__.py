"""Contract → DDL, conform SQL, schemas, rules, pages. Pure functions: nothing here touches a disk or a server."""
