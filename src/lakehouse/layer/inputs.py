"""What a run may read: pinned states of tables, and what the run itself has staged. Nothing else has a name here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from sqlalchemy import Connection

from lakehouse.contract import Project
from lakehouse.contract.model import Layer, reads
from lakehouse.engine.difference import matches
from lakehouse.engine.session import Session
from lakehouse.home import lake
from lakehouse.home.lake import LakeFile
from lakehouse.layer.ledger import Pin, Publish, Run, pins_of, publishes
from lakehouse.layer.target import Target
from lakehouse.quality.gate import Subject

#: Schema that queries name → the layer it is.
LAYER_OF: dict[str, Layer] = {"ods": "silver", "gold": "gold"}


class Inputs:
    """The pinned files of a run, and the files of its own tables as they will be after its publish."""

    def __init__(self, conn: Connection, project: Project, run: Run) -> None:
        self._conn = conn
        self._project = project
        self.run = run
        self.pins = pins_of(conn, run)
        self.publishes = publishes(conn, run)

    def pin(self, layer: Layer, table: str) -> Pin | None:
        """What is pinned of a table; None when it had never been published."""
        return self.pins.get((layer, table))

    def pinned(self, layer: Layer, table: str, partitions: Sequence[str] | None = None) -> list[LakeFile]:
        """The files of a table (or of some of its partitions) at its pinned state."""
        pin = self.pin(layer, table)
        return lake.files_at(self._conn, layer, table, pin.publish_id, partitions) if pin else []

    def before(self, layer: Layer, table: str) -> list[LakeFile]:
        """The files of a table at the state that the run before has seen."""
        pin = self.pin(layer, table)
        since = pin.since_publish_id if pin else None
        return lake.files_at(self._conn, layer, table, since) if since else []

    def next(self, layer: Layer, table: str, partitions: Sequence[str] | None = None) -> list[str]:
        """A table's files after the publish: the pinned, less the replaced, plus the staged."""
        mine = [p for p in self.publishes if (p.layer, p.table) == (layer, table)]
        gone = {uri for p in mine for uri in p.replaced_files}
        stays = [f.uri for f in self.pinned(layer, table, partitions) if f.uri not in gone]
        return stays + [uri for p in mine for uri in self._uris(p, *lake.DATA)]

    def changed_dates(self, layer: Layer, table: str) -> list[str] | None:
        """Of a table of events that gold reads: the partitions that changed since the run before; else None (all).

        So the cost of a day does not grow with history. What spans more than changed partitions is computed from a
        gold table by day, not from the events.
        """
        pin = self.pin(layer, table)
        since = pin.since_publish_id if pin else None
        if since is None or not Target.of(self._project, layer, table).has_dates:
            return None
        now, before = set(self.pinned(layer, table)), set(self.before(layer, table))
        return sorted({f.partition_key for f in now ^ before if f.partition_key})

    def table(
        self, session: Session, schema: str, table: str, *, after: bool = True, changed_only: bool = False
    ) -> None:
        """Give the session a table under the name that queries use: after this run's publish, or as pinned.

        ``changed_only``: of a table of events only the partitions that changed (see :meth:`changed_dates`).
        """
        layer = LAYER_OF[schema]
        dates = self.changed_dates(layer, table) if changed_only else None
        uris = self.next(layer, table, dates) if after else [f.uri for f in self.pinned(layer, table, dates)]
        session.files(f"{schema}.{table}", uris, self._columns(layer, table))

    def result(self, session: Session, publish: Publish) -> str:
        """Give the session the complete result of a staged table; returns the relation's name."""
        relation = publish.stage.replace("stage.", "staged__")
        uris = self._uris(publish, "result") or self._uris(publish, "changed")
        session.files(relation, uris, self._columns(publish.layer, publish.table))
        return relation

    def removed(self, session: Session, publish: Publish) -> str:
        """Give the session the rows that a publish deletes; returns the relation's name."""
        columns = self._columns(publish.layer, publish.table)
        session.files(f"main.before__{publish.table}", publish.replaced_files, columns)
        session.files(f"main.after__{publish.table}", self._uris(publish, *lake.DATA), columns)
        on = matches("b", "a", Target.of(self._project, publish.layer, publish.table).key)
        relation = publish.stage.replace("stage.", "removed__")
        session.view(
            relation,
            f"select b.* from main.before__{publish.table} as b "
            f"where not exists (select 1 from main.after__{publish.table} as a where {on})",
        )
        return relation

    def others(self, session: Session, subjects: Sequence[Subject], *, changed_only: bool = False) -> None:
        """Give the session every other table that a rule reads, as it will be after the publish (see :meth:`table`)."""
        queries = [
            query
            for subject in subjects
            for e in subject.expectations
            for query in (e.broken, str(e.kwargs.get("unexpected_rows_query", "")))
        ]
        for schema in LAYER_OF:
            for table in sorted({t for query in queries for t in reads(schema, query)}):
                self.table(session, schema, table, changed_only=changed_only)

    def _uris(self, publish: Publish, *kinds: lake.Kind) -> list[str]:
        """What a table of the run has staged, as it was when these inputs were first asked for it."""
        return [f.uri for f in self._staged if f.publish_id == publish.publish_id and f.kind in kinds]

    @cached_property
    def _staged(self) -> list[lake.StagedFile]:
        return lake.staged_files(self._conn, [p.publish_id for p in self.publishes])

    def _columns(self, layer: Layer, table: str) -> dict[str, str]:
        return Target.of(self._project, layer, table).columns
