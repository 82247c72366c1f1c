"""Maintenance: what grows for ever is bounded, what nobody needs goes, and no running load notices.

A step first finds what it would remove, and removes it only when it is told to. Each is safe to repeat and to kill at
any point; one that fails does not stop the others. Everything is decided by the ledger, under the locks of those who
write: what an open run has pinned stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS, Layer
from lakehouse.errors import LakehouseError
from lakehouse.home import expiry, lake, objects, tidy, warehouse
from lakehouse.home.homes import Homes
from lakehouse.home.pages import Aged, Pages
from lakehouse.home.settings import Keep
from lakehouse.home.trouble import explained
from lakehouse.landing.manifest import strays as landing_strays
from lakehouse.layer import compaction, history, retention
from lakehouse.layer.ledger import ended_relations
from lakehouse.quality.docs import docs_target

log = logging.getLogger(__name__)

State = Literal["planned", "done", "nothing", "held off", "failed", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """What a step would remove, or has removed. ``notes``: what a person should know, one line each."""

    step: str
    state: State = "nothing"
    objects: int = 0
    bytes: int = 0
    rows: int = 0
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As data."""
        return {**vars(self), "notes": list(self.notes)}


@dataclass(frozen=True)
class Job:
    """What is maintained, by which limits, and whether anything is changed (``apply``).

    ``landing``: the homes with the key of who lands files; without it landed files are only reported. ``logs``: where
    logs of tasks are. ``airflow``: removes what is older than a time from Airflow's database (or, when its second
    argument is False, only counts); returns the rows.
    """

    homes: Homes
    project: Project
    keep: Keep = field(default_factory=Keep)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    apply: bool = False
    landing: Homes | None = None
    logs: tuple[Pages, ...] = ()
    airflow: Callable[[datetime, bool], int] | None = None

    def ago(self, days: float = 0, hours: float = 0) -> datetime:
        """So long before now."""
        return self.now - timedelta(days=days, hours=hours)

    def tables(self) -> list[tuple[str, Layer, str]]:
        """(source, layer, table) of every table."""
        found: list[tuple[str, Layer, str]] = []
        for source in self.project.sources:
            for layer in LAYERS:
                for task in self.project.stage_order(source, layer):
                    names = self.project.staged_with(task) if layer == "silver" else (task,)
                    found += [(source, layer, table) for table in names]
        return found


def retire(job: Job) -> Outcome:
    """Rows older than their contract says leave bronze and RAW (see :mod:`lakehouse.layer.retention`)."""
    with job.homes.engine.connect() as conn:
        found = retention.deliveries(conn, job.project, job.now)
    gone: list[retention.Outdated] = []
    held = []
    for batches in found:
        first = batches[0]
        if not job.apply:
            gone += batches
            continue
        done = retention.retire(job.homes, job.project, first.source, first.partition_key, job.now)
        if done.held_by:
            held.append(f"{first.source} {first.partition_key} stays: {done.held_by} is under way")
        else:
            gone += done.batches
    tables = [f"{o.table} {o.partition_key}: {o.rows} rows" for o in gone]
    rows = sum(o.rows for o in gone)
    return Outcome("retention", objects=len(gone), rows=rows, notes=(*_some(tables), *held))


def compact(job: Job) -> Outcome:
    """Many small files of a table become one (see :mod:`lakehouse.layer.compaction`)."""
    with job.homes.engine.connect() as conn:
        found = [
            one
            for source, layer, table in job.tables()
            if layer != "bronze"
            for one in compaction.small_files(conn, job.project, source, layer, table)
        ]
    done, notes = [], []
    for one in found:
        if job.apply and not compaction.compact(job.homes, job.project, one):
            notes.append(f"{one.layer}.{one.table} stays: a run of {one.source} {one.layer} is under way")
            continue
        done.append(one)
        notes.append(f"{one.layer}.{one.table} {one.partition_key}".strip() + f": {len(one.files)} into one")
    files = sum(len(one.files) for one in done)
    return Outcome("compact", objects=files, rows=sum(o.rows for o in done), notes=tuple(_some(notes)))


def expire(job: Job) -> Outcome:
    """Snapshots of the lake that are old and pinned by nobody expire; objects that only they show are deleted."""
    before, count, notes = job.ago(job.keep.snapshot_days), 0, []
    if job.apply:
        with job.homes.engine.begin() as conn:
            warehouse.lock(conn, "tables")
            lake.forget_half_prepared(job.homes, conn)
    for source, layer, table in job.tables():
        expired = expiry.expire_snapshots(
            job.homes, source, layer, table, keep=1, before=before, dry_run=not job.apply
        )
        count += expired
        if expired:
            notes.append(f"{layer}.{table}: {expired} snapshots")
    found = _sweep(job, before)
    told = (*found.notes, *_some(notes))
    if count and found.state == "nothing":
        return replace(found, state="done" if job.apply else "planned", notes=told)
    return replace(found, notes=told)


def _sweep(job: Job, before: datetime) -> Outcome:
    by_layer: dict[Layer, list[str]] = {}
    for _, layer, table in job.tables():
        by_layer.setdefault(layer, []).append(table)
    with job.homes.engine.begin() as conn:
        objects.list_lake(job.homes, conn)
        uris = {
            uri
            for layer, tables in by_layer.items()
            for uri in expiry.sweepable(conn, layer, tables, keep=1, before=before)
        }
        found = Outcome("snapshots", objects=len(uris), bytes=objects.size_of(conn, sorted(uris)))
    if not job.apply or not uris:
        return found
    deleted = 0
    for layer, tables in by_layer.items():
        while swept := expiry.sweep(job.homes, layer, tables, keep=1, before=before):
            deleted += swept
    if deleted == 0 and _is_held(job):
        return Outcome("snapshots", "held off", notes=(_HELD,))
    return replace(found, objects=deleted)


def remove_orphans(job: Job) -> Outcome:
    """Objects that nobody knows of are deleted, once they are older than anything that is being written.

    Raises:
        LakehouseError: something that readers need is not there, or is not in the registry.
    """
    before = job.ago(hours=job.keep.orphan_hours)
    with job.homes.engine.begin() as conn:
        objects.list_lake(job.homes, conn)
        found = objects.compare(job.homes, conn, before)
        if job.apply and found.orphans:
            if not expiry.may_delete(conn):
                return Outcome("orphans", "held off", notes=(_HELD,))
            lake.delete_objects(job.homes, found.orphans)
    sizes = list(found.orphans.values())
    notes = _some([uri.removeprefix("s3://") for uri in found.orphans])
    zone = landing_strays(job.homes.s3_client(), job.homes.bucket, job.project.sources, before)
    if zone and job.apply and not job.landing:
        notes.append(
            f"{len(zone)} objects of the landing zone belong to no delivery; only who lands may remove them: "
            "`lakehouse maintain --step orphans --apply`"
        )
        zone = {}
    elif zone:
        sizes += zone.values()
        notes += _some(sorted(zone))
        if job.apply and job.landing:
            objects.remove(job.landing, sorted(zone))
    bad = [f"{uri} is in no registry, an Iceberg table has it" for uri in found.unregistered]
    bad += [f"{uri} is not there, readers need it" for uri in found.lost]
    if bad:
        raise LakehouseError(
            f"{'; '.join(_some(bad))}.", "Restore the last backup; docs/runbooks/disk-full.md says what else."
        )
    return Outcome("orphans", objects=len(sizes), bytes=sum(sizes), notes=tuple(notes))


def bound_ledger(job: Job) -> Outcome:
    """What the ledger keeps of attempts, gates and pins of long ago goes; what became of batches and tables stays."""
    found = history.bound(job.homes, job.ago(job.keep.ledger_days), apply=job.apply)
    notes = [f"ops.{table}: {rows}" for table, rows in found.items() if rows]
    return Outcome("ledger", rows=sum(found.values()), notes=tuple(notes))


def renew_tables(job: Job) -> Outcome:
    """Relations of runs that are over are dropped; tables with dead rows are vacuumed, the changed ones analysed."""
    left: list[str] = []
    size = 0
    for source in job.project.sources:
        for layer in LAYERS:
            with job.homes.engine.begin() as conn:
                if job.apply:
                    warehouse.lock(conn, source, layer)
                relations = ended_relations(conn, source, layer)
                size += tidy.stage_relations(conn, relations)
                left += relations
                if job.apply:
                    warehouse.drop(conn, relations)
    with job.homes.engine.connect() as conn:
        worn = tidy.worn(conn)
    if job.apply:
        for table in worn:
            tidy.renew(job.homes, table)
    notes = [f"{name}: left by a run that is over" for name in left]
    notes += [
        f"{t.relation}: {f'{t.dead_rows} dead rows' if t.dead_rows else 'old statistics'}" for t in worn
    ]
    rows = sum(t.dead_rows for t in worn)
    return Outcome(
        "warehouse", objects=len(left) + len(worn), bytes=size, rows=rows, notes=tuple(_some(notes))
    )


def remove_pages(job: Job) -> Outcome:
    """Data Docs that no list names: those that are kept are bounded by each gate."""
    target = docs_target(job.project, job.homes.data_docs, job.homes.s3)
    if target is None:
        return Outcome("pages", "skipped", notes=("no place for Data Docs is set",))
    strays = target.strays(job.ago(hours=job.keep.orphan_hours))
    return _remove(job, "pages", target.pages, strays)


def remove_logs(job: Job) -> Outcome:
    """Logs of tasks that are old; those of the laptop's servers are bounded by their supervisor."""
    if not job.logs:
        return Outcome("logs", "skipped", notes=("no place of logs is known",))
    before, found = job.ago(job.keep.log_days), Outcome("logs")
    for place in job.logs:
        part = _remove(job, "logs", place, [page for page in place.aged() if page.written_at < before])
        found = replace(found, objects=found.objects + part.objects, bytes=found.bytes + part.bytes)
    return found


def clean_airflow(job: Job) -> Outcome:
    """Old runs, events and logs in Airflow's own database, by its own command."""
    if job.airflow is None:
        return Outcome("airflow", "skipped", notes=("Airflow's database is not reachable from here",))
    return Outcome("airflow", rows=job.airflow(job.ago(job.keep.airflow_days), job.apply))


#: In the order in which one makes room for the next.
STEPS: dict[str, Callable[[Job], Outcome]] = {
    "retention": retire,
    "compact": compact,
    "snapshots": expire,
    "orphans": remove_orphans,
    "ledger": bound_ledger,
    "warehouse": renew_tables,
    "pages": remove_pages,
    "logs": remove_logs,
    "airflow": clean_airflow,
}
_HELD = "a backup copies the objects; the next maintenance deletes them"


def run_step(job: Job, name: str) -> Outcome:
    """One step; what goes wrong is part of its outcome."""
    try:
        with explained(job.homes):
            done = STEPS[name](job)
    except Exception as error:
        log.info("Maintenance, step %s:", name, exc_info=True)  # people are told by the outcome
        told = f"{error.message} {error.hint}" if isinstance(error, LakehouseError) else repr(error)
        return Outcome(name, "failed", notes=(told,))
    if done.state == "nothing" and (done.objects or done.rows):
        return replace(done, state="done" if job.apply else "planned")
    return done


def maintain(job: Job, steps: Sequence[str] = ()) -> list[Outcome]:
    """All steps, or some, in their order."""
    return [run_step(job, name) for name in STEPS if not steps or name in steps]


def _remove(job: Job, step: str, place: Pages, found: Sequence[Aged]) -> Outcome:
    if job.apply and found:
        place.remove(page.name for page in found)
    return Outcome(step, objects=len(found), bytes=sum(page.bytes for page in found))


def _is_held(job: Job) -> bool:
    with job.homes.engine.begin() as conn:
        return not expiry.may_delete(conn)


def _some(lines: Sequence[str], most: int = 5) -> list[str]:
    """A few lines, and how many more there are."""
    return [*lines[:most], *([f"and {len(lines) - most} more"] if len(lines) > most else [])]
