"""Makes the report of a gate out of its results and the ledger, and reads the last one again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, text

from lakehouse.compile.rules import ROW_COUNT, Expectation
from lakehouse.contract import Column, Contract
from lakehouse.contract.model import Layer, reads
from lakehouse.engine.session import Session
from lakehouse.layer.ledger import Publish
from lakehouse.layer.steps import Work
from lakehouse.quality.gate import RuleResult, Subject
from lakehouse.quality.report import (
    Broken,
    Refusal,
    Report,
    TableRows,
    Verdict,
    bounded,
    broken_rule,
    read_report,
)

#: Of more broken references than these it is not asked whether they point to refused rows.
_REFERENCES = 1000
#: Rows of the figures: one per table and batch, part or partition. How many rows each rule on them is about.
_FIGURES = {
    "quarantine_is_within_tolerance": (
        "sum(s.quarantined_rows), sum(s.read_rows), max(s.tolerance)",
        ("table_name", "batch_id"),
    ),
    "rows_of_a_key_agree": ("sum(s.conflicting_rows), sum(s.read_rows), null", ("table_name", "batch_id")),
    "shrinks_within_tolerance": (
        "sum(s.served_rows - s.delivered_rows), sum(s.served_rows), max(s.tolerance)",
        ("table_name", "partition_key"),
    ),
}
_UNREADABLE = re.compile(r"(\w+) is not a .+")
#: Per file and reason, the most frequent first: reason, file, rows, rows read of the file, first lines.
_REFUSED = """
with found as (
    select batch_id, reason, count(*) as refused
    from {relation}, unnest(string_to_array(reasons, ', ')) as reason
    group by batch_id, reason
    order by refused desc, reason, batch_id
    limit 6
)
select
    f.reason, b.source_key, f.refused, a.read_rows,
    array(
        select source_line from {relation} as r
        where r.batch_id = f.batch_id and f.reason = any(string_to_array(r.reasons, ', '))
        order by source_line limit 3
    )
from found as f
inner join ops.batch as b on f.batch_id = b.batch_id
inner join ops.accounted as a on f.batch_id = a.batch_id and a.publish_id = :p
order by f.refused desc, f.reason, b.source_key
"""
_SHAPES = """
select shape from (
    select left(regexp_replace(regexp_replace(record::jsonb ->> :raw, '[0-9]', '9', 'g'),
        '[[\\:alpha\\:]]', 'a', 'g'), 40) as shape
    from {relation} where cast(:reason as text) = any(string_to_array(reasons, ', ')) limit 1000
) as q
group by shape order by count(*) desc, shape limit 2
"""
_ROWS = """
select
    p.table_name,
    cast(sum(a.read_rows) as bigint),
    sum(p.inserted_rows)::bigint, sum(p.updated_rows)::bigint, sum(p.deleted_rows)::bigint,
    sum(p.unchanged_rows)::bigint,
    coalesce(sum(a.quarantined_rows), 0)::bigint, coalesce(sum(a.duplicate_rows), 0)::bigint,
    coalesce(sum(a.conflicting_rows), 0)::bigint
from ops.publish as p
left join lateral (
    select
        sum(c.read_rows) as read_rows, sum(c.quarantined_rows) as quarantined_rows,
        sum(c.duplicate_rows) as duplicate_rows, sum(c.conflicting_rows) as conflicting_rows
    from ops.accounted as c where c.publish_id = p.publish_id
) as a on true
where p.run_id = :r
group by p.table_name
order by min(p.publish_id)
"""
_LAST = """
select report, to_char(case when status = 'published' then ended_at end at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')
from ops.run
where source = :s and layer = :l and partition_key = :k and report is not null
    and (not cast(:p as boolean) or status = 'published')
order by run_id desc limit 1
"""


def last_report(
    conn: Connection, source: str, layer: Layer, partition_key: str, *, published: bool = False
) -> Report | None:
    """What the last gate of a partition has found; None when no gate has spoken.

    ``published``: of the last run that was published, whatever was tried since.
    """
    row = conn.execute(
        text(_LAST), {"s": source, "l": layer, "k": partition_key, "p": published}
    ).one_or_none()
    return replace(read_report(row[0]), published_at=row[1]) if row else None


@dataclass(frozen=True)
class _Refused:
    """The tables with refused rows: table → where these wait."""

    contracts: Mapping[str, Contract]
    relations: Mapping[str, list[str]]

    def __contains__(self, table: str) -> bool:
        return table in self.relations


def make_report(
    work: Work,
    conn: Connection,
    session: Session,
    publishes: Sequence[Publish],
    audited: Sequence[tuple[Subject, Sequence[RuleResult]]],
) -> Report:
    """The report of an audit. ``audited``: every subject, and the results of its rules in order."""
    run = work.run
    found: dict[str, list[str]] = {}
    for publish in publishes:
        if publish.has_refused:
            found.setdefault(publish.table, []).append(publish.refused)
    refused = _Refused(work.project.contracts, found)
    broken: list[Broken] = []
    for subject, results in audited:
        for expectation, result in zip(subject.expectations, results, strict=True):
            if not result.success:
                broken += _broken(conn, session, run.layer, subject, expectation, result, refused)
    named = {b.table.partition(".")[0] for b in broken if b.severity == "hard"}
    named |= {table for b in broken for table in b.follows_from}
    causes = sorted(
        (r for p in publishes if p.has_refused for r in _refusals(conn, refused.contracts[p.table], p)),
        key=lambda r: (r.table not in named, -r.rows),
    )
    verdict: Verdict = "warned" if broken or causes else "passed"
    if any(b.severity == "hard" for b in broken):
        verdict = "blocked"
    report = Report(
        source=run.source,
        layer=run.layer,
        partition_key=run.partition_key,
        run_id=run.run_id,
        verdict=verdict,
        rules=sum(len(results) for _, results in audited),
        refused=tuple(causes),
        broken=tuple(broken),
        tables=tuple(_rows(conn, run.run_id, causes, broken, verdict)),
    )
    return bounded(replace(report, look=tuple(_look(report))))


def _broken(
    conn: Connection,
    session: Session,
    layer: str,
    subject: Subject,
    expectation: Expectation,
    result: RuleResult,
    refused: _Refused,
) -> Iterator[Broken]:
    """A rule that did not hold; of a rule on figures one entry per table that they are about."""
    one = broken_rule(result, layer, expectation.allowed)
    if result.error or subject.key[0] != "table_name" or not expectation.broken:
        tables, surely = _causes(conn, session, subject, expectation, result, refused)
        yield replace(one, follows_from=tables, surely=surely)
        return
    for table, failed, checked, tolerance in _by_table(session, subject, expectation):
        mine = [key for key in result.sample_keys if key.split(",")[0] == f"table_name={table}"]
        allowed = one.threshold if tolerance is None else f"at most {100 * tolerance:g} %"
        # A batch's id says nothing to people; what was refused of it is told with its file.
        keys = tuple(key.partition(", ")[2] for key in mine if ", " in key and "batch_id=" not in key)
        unit = "row" if expectation.rule in _FIGURES else "figure"
        yield replace(
            one, table=table, failed=failed, checked=checked, threshold=allowed, keys=keys, unit=unit
        )


def _by_table(
    session: Session, subject: Subject, expectation: Expectation
) -> list[tuple[str, int, int, float | None]]:
    """Table, rows that the broken rule is about, of how many, and the share that is tolerated."""
    figures, key = _FIGURES.get(
        expectation.rule, ("count(*), (select count(*) from staged), null", ("table_name",))
    )
    return session.rows(
        f"with staged as (select * from {subject.relation}), broken as ({expectation.broken}) "
        f"select b.table_name, {figures} from (select distinct * from broken) as b "
        f"left join staged as s using ({', '.join(key)}) group by 1 order by 1"
    )


def _causes(
    conn: Connection,
    session: Session,
    subject: Subject,
    expectation: Expectation,
    result: RuleResult,
    refused: _Refused,
) -> tuple[tuple[str, ...], bool]:
    """The tables whose refused rows have made a rule break, and whether that is sure."""
    table, _, removed = subject.table.partition(".")
    if not refused.relations or result.error:
        return (), False
    if expectation.type == ROW_COUNT:
        return ((table,), True) if table in refused else ((), False)
    parent = expectation.parent
    if parent is not None:
        return (
            _orphans(conn, session, subject, expectation, refused) if parent.table in refused else ((), False)
        )
    others = [t for t in dict.fromkeys(reads("ods", expectation.broken)) if t in refused]
    # A row that nobody points to any more is asked for by both its own table and those that point to it.
    return ((table,) if table in refused else ()) if removed else tuple(others), False


def _orphans(
    conn: Connection, session: Session, subject: Subject, expectation: Expectation, refused: _Refused
) -> tuple[tuple[str, ...], bool]:
    """Whether the values that a table lacks are among those of its refused rows."""
    parent, column = expectation.parent, expectation.column
    assert parent is not None  # noqa: S101 - for the type checker
    rows = session.rows(
        f"select distinct cast({column} as text) from {subject.relation} as staged where {column} is not null "
        f"and not exists (select 1 from ods.{parent.table} as p where p.{parent.column} = staged.{column}) "
        f"limit {_REFERENCES}"
    )
    raw = refused.contracts[parent.table].column(parent.column).raw_name
    lacked: set[str] = set()
    for relation in refused.relations[parent.table]:
        query = (
            f"select distinct btrim(record::jsonb ->> :raw) from {relation} "
            "where btrim(record::jsonb ->> :raw) = any(:values)"
        )
        lacked |= set(conn.execute(text(query), {"raw": raw, "values": [row[0] for row in rows]}).scalars())
    return ((parent.table,), len(lacked) == len(rows)) if lacked else ((), False)


def _refusals(conn: Connection, contract: Contract, publish: Publish) -> Iterator[Refusal]:
    """Why rows of a table were refused, by file and reason."""
    rules = {rule.name: rule for rule in contract.rules}
    rows = conn.execute(text(_REFUSED.format(relation=publish.refused)), {"p": publish.publish_id}).all()
    for reason, file, refused, read, lines in rows:
        rule, unreadable = rules.get(reason), _UNREADABLE.fullmatch(reason)
        column = unreadable[1] if unreadable else rule.columns[0] if rule and len(rule.columns) == 1 else None
        shapes = _shapes(conn, contract.column(column), publish, reason) if column else ()
        yield Refusal(
            publish.table, file, reason, refused, read, tuple(lines), shapes, rule.description if rule else ""
        )


def _shapes(conn: Connection, column: Column, publish: Publish, reason: str) -> tuple[str, ...]:
    """How values that were refused are written. Never of a personal column."""
    if column.pii == "personal":
        return ()
    query = text(_SHAPES.format(relation=publish.refused))
    return tuple(conn.execute(query, {"raw": column.raw_name, "reason": reason}).scalars())


def _rows(
    conn: Connection, run_id: int, refused: Iterable[Refusal], broken: Iterable[Broken], verdict: Verdict
) -> Iterator[TableRows]:
    """What became of each table's rows; tables that are fine wait for the others when the run is blocked."""
    fine = "held back" if verdict == "blocked" else "passed"
    worth_a_word = fine if verdict == "blocked" else "warned"
    own = {r.table: worth_a_word for r in refused}
    for severity, word in (("soft", worth_a_word), ("hard", "blocked")):
        own |= {b.table.partition(".")[0]: word for b in broken if b.severity == severity}
    for table, *counts in conn.execute(text(_ROWS), {"r": run_id}):
        yield TableRows(table, own.get(table, fine), *counts)


def _look(report: Report) -> Iterator[str]:
    """Queries to paste: the refused rows, then all results."""
    for table in list(dict.fromkeys(r.table for r in report.refused))[:3]:
        yield (
            'lakehouse sql "select source_key, source_line, reasons, record from ops.refused '
            f"where run_id = {report.run_id} and table_name = '{table}' order by 1, 2 limit 20\""
        )
    if report.broken:
        yield (
            'lakehouse sql "select table_name, rule, severity, failed_rows, checked_rows, sample_keys '
            f'from ops.quality_result where run_id = {report.run_id} and not passed order by 3, 1"'
        )
