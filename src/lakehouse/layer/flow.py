"""The four steps of a layer, as Airflow's tasks, the benchmark and the tests call them.

Every step takes (homes, project, source, layer, partition key) and finds the rest in the ledger, so that each
can be repeated alone: after a crash, by a retry, or because somebody cleared one task.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from lakehouse.contract import Project
from lakehouse.contract.model import Layer
from lakehouse.errors import StaleStage
from lakehouse.home import expiry, lake, warehouse
from lakehouse.home.homes import Homes
from lakehouse.home.trouble import for_people
from lakehouse.layer.audit import audit, check_files
from lakehouse.layer.bronze import Bronze
from lakehouse.layer.gold import Gold
from lakehouse.layer.inputs import Inputs
from lakehouse.layer.ledger import (
    Publish,
    Run,
    add_tables,
    begin_attempt,
    close_runs,
    end_run,
    ended_relations,
    latest_run,
    mark_published,
    open_run,
    pin_batches,
    publishes,
    start_run,
)
from lakehouse.layer.place import replacements
from lakehouse.layer.silver import Silver
from lakehouse.layer.steps import Ask, LayerSteps, Scope, Work

#: Of so many staged rows it is worth a statement that their first reader is not a publish.
_SETTLED_ROWS = 1000
#: The one place that tells the layers apart.
LAYER_STEPS: dict[Layer, LayerSteps] = {"bronze": Bronze(), "silver": Silver(), "gold": Gold()}


@for_people
def plan(
    homes: Homes,
    project: Project,
    source: str,
    layer: Layer,
    partition_key: str,
    scope: Scope = "pending",
) -> tuple[str, ...]:
    """Ask the ledger what this run has to do, pin what it reads, and write it down. Safe to repeat.

    Returns the tables with work; none when all is done. The scopes ``partition`` and ``everything`` work out again
    what is done: staged, audited and published anew, and no row that comes out as it was is written.

    Raises:
        LakehouseError: bronze: there is no complete delivery for the partition.
    """
    warehouse.prepare(homes, project)
    steps = LAYER_STEPS[layer]
    with homes.engine.begin() as conn:
        warehouse.lock(conn, source, layer)
        planned = steps.plan(homes, conn, project, Ask(source, partition_key, scope))
        close_runs(conn, source, layer, partition_key)
        warehouse.drop(conn, ended_relations(conn, source, layer))
        if not planned.wanted and not planned.settles:
            return ()
        run = start_run(conn, source, layer, partition_key, planned.wanted, planned.pins)
        if planned.batches:
            pin_batches(conn, run, planned.batches)
    if planned.wanted:
        steps.prepare(Work(homes, project, run))
    tasks = project.stage_order(source, layer)
    return tuple(dict.fromkeys(w.table for w in planned.wanted if w.table in tasks))


@for_people
def stage(
    homes: Homes,
    project: Project,
    source: str,
    layer: Layer,
    partition_key: str,
    table: str,
    *,
    again: bool = False,
) -> dict[str, int]:
    """Make one table's rows, in both homes, where no reader sees them. Safe to repeat.

    Returns the row counts, empty when the plan has nothing for this table. ``again``: then the table is planned here,
    because somebody asks for it although it is published.

    Raises:
        FileDefect: bronze: the landed file is broken.
        StaleStage: this run is over, or another try stages the table.
    """
    total: dict[str, int] = {}
    with homes.engine.connect() as conn:
        run = open_run(conn, source, layer, partition_key)
        mine = publishes(conn, run, project.staged_with(table)) if run else []
    if again and not mine:
        run, mine = _plan_again(homes, project, source, layer, partition_key, table)
    for publish in mine:
        assert run is not None  # noqa: S101 - for the type checker: there are no publishes without a run
        task = ("publish", str(publish.publish_id))
        with homes.engine.begin() as conn:
            # A try before this one may still be at work; its session would hold what this one has to write.
            warehouse.take_over(conn, *task)
            attempt = begin_attempt(conn, publish)
        with homes.engine.begin() as conn:
            warehouse.lock(conn, *task)
            counts = LAYER_STEPS[layer].stage(Work(homes, project, run), conn, publish, attempt)
        if counts.get("inserted", 0) + counts.get("updated", 0) >= _SETTLED_ROWS:
            warehouse.settle_rows(homes, publish.stage)
        total |= {name: total.get(name, 0) + rows for name, rows in counts.items()}
    return total


def _plan_again(
    homes: Homes, project: Project, source: str, layer: Layer, partition_key: str, table: str
) -> tuple[Run | None, list[Publish]]:
    """Plan one table that is published: in a run of its own, or in the one that others have begun in the same way."""
    steps = LAYER_STEPS[layer]
    with homes.engine.begin() as conn:
        warehouse.lock(conn, source, layer)
        run = open_run(conn, source, layer, partition_key)
        if run and (mine := publishes(conn, run, project.staged_with(table))):
            return run, mine
        planned = steps.plan(homes, conn, project, Ask(source, partition_key, "partition", table))
        if not planned.wanted:
            return run, []
        if run is None:
            run = start_run(conn, source, layer, partition_key, planned.wanted, planned.pins)
        else:
            add_tables(conn, run, planned.wanted)
        if planned.batches:
            pin_batches(conn, run, planned.batches)
        mine = publishes(conn, run, project.staged_with(table))
    steps.prepare(Work(homes, project, run))
    return run, mine


@for_people
def gate(homes: Homes, project: Project, source: str, layer: Layer, partition_key: str) -> dict[str, Any]:
    """Audit what is staged. Safe to repeat.

    Returns the gate's report as data (see :mod:`lakehouse.quality.report`), its ``verdict`` passed or warned (a soft
    rule was broken); with nothing to audit the verdict alone, ``nothing``.

    Raises:
        GateFailed: a hard rule was broken; names causes, tables, rules, counts and sample keys.
        StaleStage: a table of the plan has not been staged.
    """
    with homes.engine.connect() as conn:
        run = open_run(conn, source, layer, partition_key)
        if run is None:
            return {"verdict": "nothing"}
        inputs = Inputs(conn, project, run)
        missing = sorted({p.table for p in inputs.publishes if p.status == "planned"})
        if missing:
            raise StaleStage(
                f"{run.label}: not staged: {', '.join(missing)}.",
                f"Clear the tasks `stage.<table>` of these tables in {source}_{layer}.",
            )
        return audit(Work(homes, project, run), LAYER_STEPS[layer], inputs, conn).as_json()


@for_people
def publish(homes: Homes, project: Project, source: str, layer: Layer, partition_key: str) -> dict[str, Any]:
    """Publish what has passed the gate, in both homes, by one COMMIT. Safe to repeat.

    Returns what the next layer's event carries: partition key, batch ids, rows by table, verdict. When there is
    nothing to publish this is what the ledger knows of the partition, so that a missed event can be told again.

    Raises:
        StaleStage: something is not what was audited, or another run has published meanwhile; nothing was published.
    """
    with homes.engine.connect() as conn:
        run = open_run(conn, source, layer, partition_key)
    if run:
        work = Work(homes, project, run)
        try:
            prepared = _prepare(work)
            with homes.engine.begin() as conn:
                _publish(work, conn, prepared)
        except Overtaken:
            with homes.engine.begin() as conn:
                end_run(conn, run, "overtaken")
            raise
    # Also with nothing to publish: a try that was killed after its COMMIT has not come so far.
    tasks = project.stage_order(source, layer)
    expiry.sweep(homes, layer, [table for task in tasks for table in project.staged_with(task)])
    with homes.engine.connect() as conn:
        return event(conn, source, layer, partition_key, run)


class Overtaken(StaleStage):
    """Another run has published a table of this one since it was planned."""


def _prepare(work: Work) -> list[lake.Prepared]:
    """Write the lake's commits before the lock, which is then held for moving pointers and rows only."""
    with work.homes.engine.connect() as conn:
        mine = _publishable(work, conn)
        check_files(work.homes, conn, mine)
    return lake.prepare_publish(work.homes, [r for one in mine for r in replacements(work.project, one)])


def _publishable(work: Work, conn: Connection) -> list[Publish]:
    """The tables of a run that has passed its gate.

    Raises:
        StaleStage: it has not, or is over; or another run has published a table of it.
    """
    run = work.run
    now = latest_run(conn, run.source, run.layer, run.partition_key)
    mine = publishes(conn, run)
    if now != run or run.status != "audited" or any(p.status != "staged" for p in mine):
        status = now.status if now else "gone"
        raise StaleStage(
            f"{run.label} is {status}, verdict {(now and now.verdict) or 'none'}.",
            f"Clear the tasks `stage.<table>` and those after them in {run.source}_{run.layer}.",
        )
    if LAYER_STEPS[run.layer].replaces:
        _check_bases(conn, mine)
    return mine


def _publish(work: Work, conn: Connection, prepared: list[lake.Prepared]) -> None:
    """Publish the audited tables of a run, inside the transaction of ``conn``."""
    run, steps = work.run, LAYER_STEPS[work.run.layer]
    warehouse.lock(conn, run.source, run.layer)
    for one in _publishable(work, conn):
        steps.place(work, conn, one)
        done, *_ = [
            lake.publish_files(work.homes, conn, r, prepared) for r in replacements(work.project, one)
        ]
        mark_published(conn, one, done)
        steps.settle(work, conn, one)
    end_run(conn, run, "published")


def _check_bases(conn: Connection, mine: list[Publish]) -> None:
    """A difference is only true of the state it was made to."""
    found = conn.execute(
        text(
            "select layer || '.' || table_name, publish_id from ops.publish "
            "where layer = any(:l) and table_name = any(:t) and is_current"
        ),
        {"l": [p.layer for p in mine], "t": [p.table for p in mine]},
    )
    served: dict[str, int] = dict(found.all())
    for one in mine:
        name = f"{one.layer}.{one.table}"
        if served.get(name) != one.base_publish_id:
            raise Overtaken(
                f"{name} was published by another run since these rows were staged "
                f"(publish {served.get(name)}, staged on {one.base_publish_id}).",
                f"Clear the task `plan` and those after it in {one.source}_{one.layer}.",
            )


def event(
    conn: Connection, source: str, layer: Layer, partition_key: str, run: Run | None = None
) -> dict[str, Any]:
    """What an event tells: what a run has just published, else what the ledger last published for the partition."""
    rows = conn.execute(
        text(
            "select distinct on (p.table_name, p.partition_key) p.table_name, "
            "coalesce(a.published, p.inserted_rows + p.updated_rows + p.unchanged_rows), p.verdict, "
            "p.inserted_rows + p.updated_rows + p.deleted_rows, a.batches "
            "from ops.publish as p left join lateral (select sum(c.published_rows)::bigint as published, "
            "array_agg(c.batch_id::text) as batches from ops.accounted as c where c.publish_id = p.publish_id) as a "
            "on true where p.status = 'published' and case when cast(:r as bigint) is not null then p.run_id = :r "
            "else p.run_id in (select run_id from ops.run where source = :s and layer = :l "
            "and partition_key = :k and status = 'published') end "
            "order by p.table_name, p.partition_key, p.publish_id desc"
        ),
        {"s": source, "l": layer, "k": partition_key, "r": run.run_id if run else None},
    ).all()
    row_counts: dict[str, int] = {}
    for table, published, *_ in rows:
        row_counts[table] = row_counts.get(table, 0) + published
    return {
        "partition_key": partition_key,
        "batch_ids": sorted({batch for *_, batches in rows for batch in batches or ()}),
        "row_counts": row_counts,
        "rows_written": sum(written for _, _, _, written, _ in rows) if run else 0,
        "verdict": "warned" if any(verdict == "warned" for _, _, verdict, _, _ in rows) else "passed",
    }
