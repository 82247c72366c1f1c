"""The audit of a staged layer: what the gate looks at, and what its verdict does to the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from sqlalchemy import Connection, text

from lakehouse.engine.session import Session, open_session
from lakehouse.errors import GateFailed, StaleStage
from lakehouse.home import lake
from lakehouse.home.homes import Homes
from lakehouse.home.rows import show_refused
from lakehouse.layer.findings import make_report
from lakehouse.layer.inputs import Inputs
from lakehouse.layer.ledger import Publish, Run, mark_audited
from lakehouse.layer.steps import LayerSteps, Superseding, Work
from lakehouse.layer.target import Target
from lakehouse.quality.docs import docs_of_gate
from lakehouse.quality.gate import (
    RuleResult,
    Subject,
    accounting_subject,
    agreement_subject,
    run_gate,
    shrinking_subject,
)
from lakehouse.quality.report import Report, cause_lines

_ACCOUNTING = {
    "table_name": "text",
    "batch_id": "text",
    "read_rows": "bigint",
    "published_rows": "bigint",
    "quarantined_rows": "bigint",
    "duplicate_rows": "bigint",
    "conflicting_rows": "bigint",
    "tolerance": "double precision",
}
_SHRINKING = {
    "table_name": "text",
    "partition_key": "text",
    "served_rows": "bigint",
    "delivered_rows": "bigint",
    "allow_shrink": "boolean",
    "tolerance": "double precision",
}
_AGREEMENT = {
    "table_name": "text",
    "part": "text",
    "warehouse_rows": "bigint",
    "lake_rows": "bigint",
    "warehouse_hash": "text",
    "lake_hash": "text",
}


def audit(work: Work, steps: LayerSteps, inputs: Inputs, conn: Connection) -> Report:
    """Hold the staged rows of a run against their rules and write what was found to the ledger.

    Returns the report, whose verdict is ``passed`` or ``warned`` (a soft rule was broken).

    Raises:
        GateFailed: a hard rule was broken. The run is marked as blocked, its rows stay in schema ``stage``.
        StaleStage: a staged file is not the one that was written.
    """
    run = work.run
    check_files(work.homes, conn, inputs.publishes)
    with open_session(work.homes) as session:
        subjects = [
            *steps.subjects(work, conn, inputs, session),
            *_figures(work, conn, inputs.publishes, session),
            *_shrinking(work, steps.superseding(work, conn, inputs), session),
        ]
        results = run_gate(
            session,
            subjects,
            layer=run.layer,
            partition_key=run.partition_key,
            source=run.source,
            docs=docs_of_gate(work.homes, work.project),
        )
        # A connection of its own: what it reads is not locked any more when readers are to see it.
        with work.homes.engine.connect() as asked:
            report = make_report(work, asked, session, inputs.publishes, _per_subject(subjects, results))
    message = "\n".join(cause_lines(report))
    with work.homes.engine.begin() as ledger:
        _record(ledger, run, report.verdict, results)
        mark_audited(
            ledger,
            run,
            report.verdict,
            message or None,
            report.as_json(),
            _by_table(inputs.publishes, report),
        )
        if report.verdict == "blocked":
            show_refused(ledger, [p.refused for p in inputs.publishes if p.has_refused])
    if report.verdict == "blocked":
        raise GateFailed(f"{run.label}: {message}", _where(inputs.publishes, report))
    return report


def _per_subject(
    subjects: Sequence[Subject], results: Sequence[RuleResult]
) -> list[tuple[Subject, Sequence[RuleResult]]]:
    rest = iter(results)
    return [(subject, list(islice(rest, len(subject.expectations)))) for subject in subjects]


def _where(publishes: Sequence[Publish], report: Report) -> str:
    """What to do next, and where the rows of a blocked run can be looked at."""
    named = {_table(b.table) for b in report.hard}
    staged = [p.stage for p in publishes if p.table in named and p.placement != "none"]
    places = (
        f" The rows that were to be published are, for the loader, in {', '.join(staged[:3])}."
        if staged
        else ""
    )
    look = "".join(f"\n  {query}" for query in report.look)
    return (
        "Nothing was published. Mend the files or the rule, then run the partition again. Until then:"
        f"{look}\n {places}".rstrip()
    )


def _by_table(publishes: Sequence[Publish], report: Report) -> Mapping[str, tuple[str, str | None]]:
    found = {}
    for table in {p.table for p in publishes}:
        lines = [str(r) for r in report.refused if r.table == table]
        lines += [str(b) for b in report.broken if _table(b.table) == table]
        of_table = report.verdict if report.verdict == "blocked" else "warned" if lines else "passed"
        found[table] = (of_table, "\n".join(lines) or None)
    return found


def _table(audited: str) -> str:
    """The table whose rows were audited: of ``olist_orders.removed`` it is ``olist_orders``."""
    return audited.partition(".")[0]


def check_files(homes: Homes, conn: Connection, publishes: Sequence[Publish]) -> None:
    """Make sure that the staged lake files are those whose hashes were taken.

    Raises:
        StaleStage: a file is gone or was overwritten.
    """
    owner = {p.publish_id: p for p in publishes}
    staged = {f.uri: f for f in lake.staged_files(conn, owner) if f.kind in (*lake.DATA, "result")}
    for uri, etag in lake.etags(homes, staged).items():
        if etag != staged[uri].etag:
            publish = owner[staged[uri].publish_id]
            raise StaleStage(
                f"{publish.layer}.{publish.table} for {publish.partition_key}: {uri} is not the file that was staged.",
                f"Clear the task `stage.{publish.table}` and those after it in {publish.source}_{publish.layer}.",
            )


def _figures(work: Work, conn: Connection, publishes: Sequence[Publish], session: Session) -> list[Subject]:
    """Row counts and hashes of this run, for the gate to audit like any other relation."""
    ids = {"p": [p.publish_id for p in publishes]}
    accounted = conn.execute(
        text(
            "select table_name, batch_id::text, read_rows, published_rows, quarantined_rows, duplicate_rows, "
            "conflicting_rows "
            "from ops.accounted inner join ops.batch using (batch_id, table_name) "
            # What a withdrawn delivery leaves is empty on purpose.
            "where publish_id = any(:p) and size_bytes > 0 order by 1, 2"
        ),
        ids,
    ).all()
    agreement = conn.execute(
        text(
            "select p.table_name, a.part, a.warehouse_rows, a.lake_rows, a.warehouse_hash, a.lake_hash "
            "from ops.agreement as a inner join ops.publish as p using (publish_id) "
            "where publish_id = any(:p) order by 1, 2"
        ),
        ids,
    ).all()
    targets = {p.table: Target.of(work.project, p.layer, p.table) for p in publishes}
    rows = [(*row, targets[row[0]].tolerance) for row in accounted]
    session.values("staged__accounting", _ACCOUNTING, rows)
    session.values("staged__agreement", _AGREEMENT, [tuple(row) for row in agreement])
    may_be_empty = sorted(t for t, target in targets.items() if target.may_be_empty)
    subjects = [accounting_subject("staged__accounting", may_be_empty)] if rows else []
    # A run in which nothing differs has written nothing to compare.
    return subjects + ([agreement_subject("staged__agreement")] if agreement else [])


def _shrinking(work: Work, superseding: Sequence[Superseding], session: Session) -> list[Subject]:
    """Where rows take the place of others: how many are served, and how many come instead."""
    if not superseding:
        return []
    contracts = work.project.contracts
    rows = [
        (
            s.table,
            s.partition_key,
            s.served_rows,
            s.delivered_rows,
            s.allowed,
            contracts[s.table].shrink_tolerance,
        )
        for s in superseding
    ]
    session.values("staged__shrinking", _SHRINKING, rows)
    return [shrinking_subject("staged__shrinking")]


def _record(conn: Connection, run: Run, verdict: str, results: Sequence[RuleResult]) -> None:
    if not results:
        return
    conn.execute(
        text(
            "insert into ops.quality_result (run_id, source, layer, partition_key, table_name, rule, severity, "
            "passed, checked_rows, failed_rows, sample_keys, description, verdict) values (:run, :source, :layer, "
            ":key, :table, :rule, :severity, :passed, :checked, :failed, :sample, :description, :verdict)"
        ),
        [
            {
                "run": run.run_id,
                "source": run.source,
                "layer": run.layer,
                "key": run.partition_key,
                "table": r.table,
                "rule": r.rule,
                "severity": r.severity,
                "passed": r.success,
                "checked": r.checked_rows,
                "failed": r.failed_rows,
                "sample": list(r.sample_keys),
                "description": r.description,
                "verdict": "blocked" if verdict == "blocked" else "audited",
            }
            for r in results
        ],
    )
