"""Takes a person's names out of what the ledger and the pages say: keys of broken rows, reports, messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from lakehouse.compile.ddl import literal
from lakehouse.contract import Contract, Project
from lakehouse.contract.model import PSEUDONYM
from lakehouse.home.pages import Pages
from lakehouse.layer.erased import of_erased

#: What a name that came from the person's id becomes.
ERASED = "erased"
_COLUMNS = """
select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) from pg_class as c
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where
    c.relnamespace = 'ops'::regnamespace and c.relkind = 'r'
    and format_type(a.atttypid, a.atttypmod) in ('text', 'text[]', 'jsonb')
order by 1, 2
"""


def other_names(conn: Connection, project: Project, subject: Contract, person: str) -> dict[str, str]:
    """Keys that gold has made of the person's id, such as a dimension's; each → what is said instead."""
    column = subject.person_column
    if column is None:
        return {}
    found: dict[str, str] = {}
    for model in project.models(subject.source):
        made = [n for n in model.key if model.column(n).pii != "none" and n != column.name]
        if made and column.name in {c.name for c in model.columns}:
            for name in made:
                query = text(f"select {name}::text from gold.{model.table} where {column.name} = :p")
                found |= dict.fromkeys(conn.execute(query, {"p": person}).scalars(), ERASED)
    return found


def forget_refused(conn: Connection, tables: Sequence[Contract], key: bytes) -> dict[str, int]:
    """Take the personal values of erased persons out of quarantine; silver would only when it judges the rows again."""
    changed = 0
    for contract in tables:
        pairs = ", ".join(
            f"{literal(c.raw_name)}, {literal(c.erased_as)}"
            for c in contract.erased_columns
            if c.erased_as != PSEUDONYM
        )
        query = (
            f"update ops.quarantine as q set record = q.record || jsonb_build_object({pairs}) "
            f"from raw.{contract.table} as r where q.table_name = {literal(contract.table)} "
            "and r._batch_id = q.batch_id and r._source_line = q.source_line "
            f"and not q.record @> jsonb_build_object({pairs}) and {of_erased(contract, key)}"
        )
        changed += conn.exec_driver_sql(query.replace("%", "%%")).rowcount
    return {"ops.quarantine": changed}


def forget_in_ledger(conn: Connection, names: Mapping[str, str]) -> dict[str, int]:
    """Replace names in every text of schema ``ops``; table → rows that had one."""
    touched: dict[str, int] = {}
    for table, column, kind in conn.execute(text(_COLUMNS)).all():
        for name, instead in names.items():
            change = text(
                f"update ops.{table} set {column} = replace({column}::text, :n, :i)::{kind} "
                f"where strpos({column}::text, :n) > 0"
            )
            rows = conn.execute(change, {"n": name, "i": instead}).rowcount
            if rows:
                touched[f"ops.{table}"] = touched.get(f"ops.{table}", 0) + rows
    return touched


def forget_in_pages(pages: Pages, names: Mapping[str, str]) -> int:
    """Replace names in pages; how many had one."""
    changed: dict[str, bytes] = {}
    for place in list(pages.names()):
        page = pages.read(place)
        data = page.data if page else b""
        for name, instead in names.items():
            data = data.replace(name.encode(), instead.encode())
        if page and data != page.data:
            changed[place] = data
    pages.write(changed)
    return len(changed)
