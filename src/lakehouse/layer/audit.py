"""The audit of a staged layer: which relations the gate looks at, and what its verdict does to the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, text

from lakehouse.compile.ddl import literal
from lakehouse.compile.rules import removal_expectations
from lakehouse.contract import Project
from lakehouse.contract.model import Layer
from lakehouse.errors import GateFailed
from lakehouse.home.homes import Homes
from lakehouse.home.warehouse import run_script
from lakehouse.layer.copies import check_files
from lakehouse.layer.docs import DocsTarget
from lakehouse.layer.gate import (
    RuleResult,
    Subject,
    accounting_subject,
    agreement_subject,
    contract_subject,
    failure_message,
    gold_subject,
    raw_subject,
    run_gate,
)
from lakehouse.layer.ledger import Hop, mark
from lakehouse.layer.merge import staged


def audit(homes: Homes, project: Project, layer: Layer, hops: list[Hop]) -> str:
    """Hold the staged rows of a run against their rules and write the verdict to the ledger.

    Returns ``passed`` or ``warned`` (a soft rule was broken).

    Raises:
        GateFailed: a hard rule was broken. The hops are marked as blocked, the rows stay in schema ``stage``.
    """
    source, partition_key = hops[0].source, hops[0].run_partition_key
    check_files(homes, hops)
    pages = project.root / "great_expectations"
    with homes.engine.begin() as conn:
        _expose_figures(conn, project, layer, hops)
    results = run_gate(
        homes.engine,
        [*_subjects(project, layer, hops), *_removals(homes, project, layer, hops)],
        layer=layer,
        partition_key=partition_key,
        source=source,
        resolve=_resolver(hops),
        docs=DocsTarget(pages) if pages.is_dir() else None,
    )
    hard = [r for r in results if r.blocks]
    verdict = "blocked" if hard else "passed" if all(r.success for r in results) else "warned"
    with homes.engine.begin() as conn:
        _record(conn, source, layer, partition_key, verdict, results)
        for hop in hops:
            message = failure_message([r for r in results if _table(r) == hop.table], warnings_too=True)
            of_table = verdict if hard else "warned" if message else "passed"
            mark(
                conn,
                [hop],
                status="blocked" if hard else "staged",
                verdict=of_table,
                message=message or None,
            )
    if hard:
        raise GateFailed(
            f"{source} {layer} {partition_key}: {failure_message(results)}",
            f"Nothing was published. The rows are in {staged(layer, _table(hard[0]))}* until the next try; "
            "mend the files or the rule, then clear the run.",
        )
    return verdict


def _table(result: RuleResult) -> str:
    """The table whose rows were audited: of ``olist_orders.removed`` it is ``olist_orders``."""
    return result.table.partition(".")[0]


def _expose_figures(conn: Connection, project: Project, layer: Layer, hops: list[Hop]) -> None:
    """Views of this run's row counts and checksums, for the gate to audit like any other relation."""
    ids = ", ".join(str(h.publish_id) for h in hops)
    source = hops[0].source
    tolerances = ", ".join(
        f"({literal(table)}, {_tolerance(project, table)}::double precision)"
        for table in sorted({h.table for h in hops})
    )
    accounting, agreement = staged(layer, source, "accounting"), staged(layer, source, "agreement")
    run_script(
        conn,
        f"drop view if exists {accounting}; drop view if exists {agreement};"
        f"create view {accounting} as select p.publish_id, p.table_name, p.partition_key, p.read_rows, "
        "p.published_rows, p.quarantined_rows, p.duplicate_rows, v.tolerance "
        f"from ops.publish p join (values {tolerances}) v (table_name, tolerance) "
        f"using (table_name) where p.publish_id in ({ids});"
        f"create view {agreement} as select publish_id, table_name, column_name, warehouse_value, lake_value "
        f"from stage.agreement where publish_id in ({ids});",
    )


def _tolerance(project: Project, table: str) -> float:
    contract = project.contracts.get(table)
    return contract.quarantine_tolerance if contract else 0.0


def _subjects(project: Project, layer: Layer, hops: list[Hop]) -> list[Subject]:
    source, tables = hops[0].source, list(dict.fromkeys(h.table for h in hops))
    if layer == "bronze":
        # A batch that is served again has been staged, and audited, when it came first.
        fresh = [h.table for h in hops if h.mode != "revive"]
        subjects = [raw_subject(project.contracts[t], staged(layer, t)) for t in fresh]
    elif layer == "silver":
        subjects = [contract_subject(project.contracts[t], staged(layer, t, "result")) for t in tables]
    else:
        subjects = [gold_subject(project.gold[t], staged(layer, t, "result")) for t in tables]
    # An affected gold recomputation may have nothing to say.
    may_be_empty = [t for t in tables if layer == "gold" or project.contracts[t].allow_empty]
    return [
        *subjects,
        accounting_subject(staged(layer, source, "accounting"), may_be_empty),
        agreement_subject(staged(layer, source, "agreement")),
    ]


def _removals(homes: Homes, project: Project, layer: Layer, hops: list[Hop]) -> list[Subject]:
    """The rows that silver is about to delete, which is rare: a superseding delivery no longer has them."""
    if layer != "silver":
        return []
    with homes.engine.connect() as conn:
        losing = conn.execute(
            text(
                "select distinct table_name from ops.publish where publish_id = any(:ids) and deleted_rows > 0"
            ),
            {"ids": [h.publish_id for h in hops]},
        ).scalars()
        contracts = [project.contracts[t] for t in sorted(losing)]
    return [
        Subject(
            f"{c.table}.removed",
            f"(select * from {staged(layer, c.table)} where _op = 'delete')",
            c.key,
            frozenset(column.name for column in c.columns if column.pii == "personal"),
            expectations,
        )
        for c in contracts
        if (expectations := removal_expectations(c, project.contracts.values()))
    ]


def _resolver(hops: list[Hop]) -> Callable[[str], str]:
    """Rules see tables as they will be after this publish."""
    layers = {"ods": "silver", "gold": "gold"}
    tables = {h.table for h in hops}
    layer = hops[0].layer

    def resolve(name: str) -> str:
        schema, _, table = name.partition(".")
        if layers.get(schema) == layer and table in tables:
            return staged(layer, table, "next")
        return name

    return resolve


def _record(
    conn: Connection,
    source: str,
    layer: Layer,
    partition_key: str,
    verdict: str,
    results: Sequence[RuleResult],
) -> None:
    if not results:
        return
    conn.execute(
        text(
            "insert into ops.quality_result (source, layer, partition_key, table_name, rule, severity, passed, "
            "checked_rows, failed_rows, sample_keys, description, verdict) values (:source, :layer, :key, :table, "
            ":rule, :severity, :passed, :checked, :failed, :sample, :description, :verdict)"
        ),
        [
            {
                "source": source,
                "layer": layer,
                "key": partition_key,
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
