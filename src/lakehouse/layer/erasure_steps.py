"""The steps of an erasure that make what is stored again: landing zone, bronze, silver, gold, and their past."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from botocore.exceptions import ClientError
from sqlalchemy import text

from lakehouse.contract import Contract, Project
from lakehouse.contract.erasure import subject_of
from lakehouse.contract.model import Layer
from lakehouse.engine.session import Session
from lakehouse.errors import FileDefect, GateFailed, LakehouseError
from lakehouse.home import expiry, warehouse
from lakehouse.home.homes import Homes
from lakehouse.home.pages import Pages
from lakehouse.landing.manifest import ManifestFile
from lakehouse.landing.rewrite import Replace
from lakehouse.layer import flow, search
from lakehouse.layer.erased import Erased, still_there

Step = Callable[[str], AbstractContextManager[Callable[[str], None]]]


def silent(_name: str) -> AbstractContextManager[Callable[[str], None]]:
    """Show nobody what is done."""
    return nullcontext(lambda _text: None)


@dataclass(frozen=True)
class Request:
    """Who is to be erased from what. ``person`` is the id; ``reference`` names the request, and is no id.

    ``landing``: the homes with the key of who lands files. ``pages``: where pages of gates and of the site are kept.
    ``caches``: folders of this machine with copies of lake files.
    ``is_alive``: whether an orchestrator's run of a layer is at work.
    """

    homes: Homes
    landing: Homes
    project: Project
    source: str
    person: str = field(repr=False)
    reference: str = ""
    pages: Sequence[Pages] = ()
    caches: Sequence[Path] = ()
    is_alive: Callable[[Layer, str], bool] = lambda _layer, _run: True
    step: Step = silent

    @property
    def subject(self) -> Contract:
        """The table that says who a person is.

        Raises:
            LakehouseError: the source knows no persons.
        """
        self.project.tables(self.source)  # names an unknown source
        found = subject_of(self.project.contracts, self.source)
        if found is None:
            raise LakehouseError(
                f"No contract of {self.source} says what a person is.",
                "Mark the column: customProperties person: subject (docs/contracts.md).",
            )
        return found

    @property
    def tables(self) -> tuple[Contract, ...]:
        """The tables whose rows lead to persons, those that others point to first."""
        return tuple(c for c in self.project.tables(self.source) if c.person_column)

    @property
    def erased_tables(self) -> tuple[Contract, ...]:
        """Those of them that have something to lose."""
        return tuple(c for c in self.tables if c.erased_columns)


def replacing(request: Request, session: Session, erased: Erased) -> list[tuple[Contract, Replace]]:
    """For each table: from a batch of landed rows those of erased persons, as they shall be."""

    def of(contract: Contract) -> Replace:
        def replace(batch: pa.RecordBatch) -> pa.RecordBatch:
            return next(erased.take_out(session, contract, [batch], only=True), batch.slice(0, 0))

        return replace

    return [(c, of(c)) for c in request.erased_tables if erased.concerns(c)]


def mover(request: Request) -> Callable[[str, str, ManifestFile, ManifestFile], None]:
    """Writes down where the file of a batch is now, so that the manifest's new file is the batch that it was."""

    def moved(table: str, day: str, was: ManifestFile, now: ManifestFile) -> None:
        with request.homes.engine.begin() as conn:
            conn.execute(
                text(
                    "update ops.batch set landing_key = :nk, landing_hash = :nh where source = :s "
                    "and table_name = :t and partition_key = cast(:d as date) "
                    "and ((source_key, source_hash) = (:k, :h) or (landing_key, landing_hash) = (:k, :h))"
                ),
                {
                    "s": request.source, "t": f"{request.source}_{table}", "d": day,
                    "k": was.key, "h": was.sha256, "nk": now.key, "nh": now.sha256,
                },
            )  # fmt: skip

    return moved


def rewrite_bronze(
    request: Request, erased: Erased, reruns: Iterable[str], tell: Callable[[str], None]
) -> None:
    """Make every stored batch that shows an erased person again, those that were superseded, too."""
    with request.homes.engine.connect() as conn:
        days: set[str] = set()
        for c in request.erased_tables:
            query = (
                "select distinct b.partition_key::text from ops.batch as b where b.batch_id in ("
                f"select r._batch_id from raw.{c.table} as r where {still_there(c, erased.key)})"
            )
            days.update(conn.exec_driver_sql(query.replace("%", "%%")).scalars())
    for day in sorted(days):
        tell(day)
        while _run(request, "bronze", day, "erased"):
            pass
    for day in reruns:
        tell(day)
        with _as_it_was():
            _run(request, "bronze", day)


def follow(request: Request, layer: Layer, reruns: Sequence[str], tell: Callable[[str], None]) -> None:
    """Let a layer take up what the one before has made anew; blocked partitions are judged, and blocked, again."""
    with request.homes.engine.connect() as conn:
        newest = conn.execute(
            text(
                "select max(partition_key)::text from ops.open_partition where source = :s and layer = :l "
                "and partition_key <> all(cast(:b as date[]))"
            ),
            {"s": request.source, "l": layer, "b": list(reruns)},
        ).scalar()
    if newest:
        tell(newest)
        _run(request, layer, newest)
    for day in reruns:
        tell(day)
        with _as_it_was():
            _run(request, layer, day)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """A partition that did not get through its gate before need not now."""
    with suppress(GateFailed, FileDefect):
        yield


def _run(request: Request, layer: Layer, day: str, scope: Any = "pending") -> bool:
    """A layer from plan to publish; whether there was anything to do."""
    where = (request.homes, request.project, request.source, layer, day)
    tables = flow.plan(*where, scope)
    for table in tables:
        flow.stage(*where, table)
    flow.gate(*where)
    flow.publish(*where)
    return bool(tables)


def drop_past(request: Request, tell: Callable[[str], None]) -> dict[str, int]:
    """Let old snapshots expire, delete what only they showed, and let Postgres forget rows that are gone."""
    homes, deleted = request.homes, 0
    for layer, tables in _all_tables(request).items():
        for table in tables:
            tell(f"{layer}.{table}")
            expiry.expire_snapshots(homes, request.source, layer, table, keep=1)
        while swept := expiry.sweep(homes, layer, tables, keep=1):
            deleted += swept
    for folder in request.caches:
        shutil.rmtree(folder, ignore_errors=True)  # a task at work fetches what it needs again
    schemas = {"silver": "ods", "gold": "gold"}
    tell("vacuum")
    warehouse.tidy(
        homes, [f"{schemas[la]}.{t}" for la, ts in _all_tables(request).items() if la in schemas for t in ts]
    )
    warehouse.tidy(homes, ["ops.quarantine", "ops.quality_result", "ops.run", "ops.publish"])
    return {"lake objects": deleted}


def _all_tables(request: Request) -> dict[Layer, list[str]]:
    """Layer → the tables that may show a person."""
    project, source = request.project, request.source
    landed = [c.table for c in request.erased_tables]
    return {
        "bronze": landed,
        "silver": [t for table in landed for t in project.staged_with(table)],
        "gold": [m.table for m in project.models(source)],
    }


def prove(request: Request, tell: Callable[[str], None]) -> tuple[str, ...]:
    """Search all that is stored; returns warnings about what could not be searched.

    Raises:
        LakehouseError: the id is there; says where.
    """
    tell("warehouse")
    with request.homes.engine.connect() as conn:
        places = [f"{table} ({n} rows)" for table, n in search.search_warehouse(conn, request.person).items()]
    searched = search.search_bucket(request.homes, request.person, lambda n: tell(f"{n:,} objects"))
    places += searched.found
    if places:
        shown = "\n".join(f"  - {place}" for place in places[:20])
        raise LakehouseError(
            f"The person is still in {len(places)} places:\n{shown}",
            "Where a partition is blocked (`lakehouse status`), mend it first; then run the same command again.",
        )
    warnings = []
    if searched.unread:
        some = ", ".join(searched.unread[:3])
        warnings.append(
            f"{len(searched.unread)} objects could not be read, so nobody looked into them: {some}"
        )
    versions = _versioning(request.homes)
    if versions != "off":
        warnings.append(
            f"The bucket's versioning is {versions}: old versions of deleted objects may hold the person until "
            "its lifecycle deletes them."
        )
    return tuple(warnings)


def _versioning(homes: Homes) -> str:
    """Whether the bucket keeps old versions of objects: ``on``, ``off``, or ``unknown`` when this key may not ask."""
    try:
        answer = homes.s3_client().get_bucket_versioning(Bucket=homes.bucket)
    except ClientError:
        return "unknown"
    return "on" if answer.get("Status") else "off"
