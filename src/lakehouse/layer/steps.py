"""What every layer can do. Bronze, silver and gold are one object each; nothing else asks which layer it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection

from lakehouse.contract import Project
from lakehouse.contract.model import Layer
from lakehouse.engine.session import Session
from lakehouse.home.homes import Homes
from lakehouse.layer.inputs import Inputs
from lakehouse.layer.ledger import Pin, Publish, Role, Run, Wanted
from lakehouse.quality.gate import Subject

#: How much a run works out. pending: what is not done yet. partition: its partition again, too. everything: all again.
#: erased: what bronze stores of the partition and shows erased persons; asked of bronze only.
Scope = Literal["pending", "partition", "everything", "erased"]


@dataclass(frozen=True)
class Ask:
    """What somebody wants of a layer: a source's partition, how much of it, and of one table only when it is named."""

    source: str
    partition_key: str
    scope: Scope = "pending"
    table: str | None = None

    def means(self, table: str) -> bool:
        """Whether a table is asked for."""
        return self.table in (None, table)


@dataclass(frozen=True)
class Plan:
    """What a run has to do and what it reads. ``batches``: batch id → what it is to silver.

    ``settles``: there is nothing to do, but what was seen has to be remembered.
    """

    wanted: tuple[Wanted, ...] = ()
    pins: tuple[Pin, ...] = ()
    batches: Mapping[str, Role] = field(default_factory=dict)
    settles: bool = False


@dataclass(frozen=True)
class Superseding:
    """Rows that are served, and how many come instead. ``allowed``: a person has said that they may be far fewer."""

    table: str
    partition_key: str
    served_rows: int
    delivered_rows: int
    allowed: bool


@dataclass(frozen=True)
class Work:
    """A step of a run: the homes, the project, and whose run it is."""

    homes: Homes
    project: Project
    run: Run


class LayerSteps(ABC):
    """The steps of one layer. Each finds in the ledger what the steps before it wrote down."""

    layer: Layer
    #: Whether rows of a table can be replaced, so that what is staged is a difference to one of its states.
    replaces = True

    @abstractmethod
    def plan(self, homes: Homes, conn: Connection, project: Project, ask: Ask) -> Plan:
        """Ask the ledger what there is to do, and pin everything it takes. Runs under the layer's lock."""

    def prepare(self, work: Work) -> None:  # noqa: B027 - most layers have nothing to share
        """Compute what the tables of a run share, after the plan is written down. Safe to repeat."""

    @abstractmethod
    def stage(self, work: Work, conn: Connection, publish: Publish, attempt: str) -> dict[str, int]:
        """Make one table's rows in both homes, where no reader sees them; returns the row counts."""

    @abstractmethod
    def sql(self, project: Project, table: str) -> str:
        """What :meth:`stage` runs to make a table, for people to read."""

    def reads(self, project: Project, table: str) -> list[str]:
        """The tables, as ``silver.olist_orders``, that a table is made from, beside itself and its batches."""
        return []

    @abstractmethod
    def subjects(self, work: Work, conn: Connection, inputs: Inputs, session: Session) -> Iterable[Subject]:
        """What the gate audits, registered with the session."""

    @abstractmethod
    def place(self, work: Work, conn: Connection, publish: Publish) -> None:
        """Move staged rows into the warehouse's table."""

    def superseding(self, work: Work, conn: Connection, inputs: Inputs) -> Sequence[Superseding]:
        """Where rows take the place of others, for the gate to see that not too many get lost."""
        return ()

    def settle(self, work: Work, conn: Connection, publish: Publish) -> None:  # noqa: B027 - gold has no batches
        """Write into the ledger what a table's publish means for its batches."""
