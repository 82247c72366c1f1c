"""Backups: Postgres as `pg_dump` writes it, and the objects that it names, in a folder or a bucket; and back."""
