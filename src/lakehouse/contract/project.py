"""The whole project: every contract and every gold model, read once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from lakehouse.contract.gold import GoldModel, read_gold
from lakehouse.contract.model import Contract, Layer
from lakehouse.contract.reader import read_contract
from lakehouse.errors import ContractError


@dataclass(frozen=True)
class Project:
    """``contracts`` by table (``olist_orders``), ``gold`` by table (``fact_order``), both sorted by name."""

    root: Path
    contracts: dict[str, Contract]
    gold: dict[str, GoldModel]

    @classmethod
    def load(cls, root: Path | None = None) -> Project:
        """Read ``contracts/`` and ``sql/gold/`` below ``root`` (see :func:`project_root`).

        Raises:
            ContractError: a file is not valid, or contracts contradict each other.
        """
        root = root or project_root()
        read = [read_contract(p) for p in sorted((root / "contracts").glob("*/*.yaml"))]
        models = [read_gold(p) for p in sorted((root / "sql" / "gold").glob("*.sql"))]
        project = cls(root, {c.table: c for c in read}, {m.table: m for m in models})
        project._check_references()
        return project

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that have contracts."""
        return tuple(sorted({c.source for c in self.contracts.values()}))

    def tables(self, source: str) -> tuple[Contract, ...]:
        """The contracts of a source; a table comes after the tables it points to.

        Raises:
            ContractError: there is no such source, or its foreign keys go round in a circle.
        """
        mine = {t: c for t, c in self.contracts.items() if c.source == source}
        if not mine:
            raise ContractError(f"No source {source!r}.", f"There are: {', '.join(self.sources)}.")
        graph = {
            t: sorted({ref.table for _, ref in c.references if ref.table in mine and ref.table != t})
            for t, c in mine.items()
        }
        try:
            return tuple(mine[t] for t in TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise ContractError(
                f"Circular foreign keys: {error.args[1]}.", "Make one of them soft."
            ) from error

    def models(self, source: str) -> tuple[GoldModel, ...]:
        """The gold models that are fed by a source, by name."""
        return tuple(m for m in self.gold.values() if m.source == source)

    def stage_order(self, source: str, layer: Layer) -> dict[str, tuple[str, ...]]:
        """The tables of a layer in an order in which they can be staged, each with those it has to wait for."""
        if layer != "gold":
            return {c.table: () for c in self.tables(source)}
        models = {m.table: m for m in self.models(source)}
        graph = {t: tuple(sorted(m.gold_references & models.keys())) for t, m in models.items()}
        return {t: graph[t] for t in TopologicalSorter(graph).static_order()}

    def affected_sql(self, source: str, unit: str) -> str:
        """The query that lists the units to recompute.

        Raises:
            ContractError: the file does not exist.
        """
        path = self.root / "sql" / "gold" / "affected" / source / f"{unit}.sql"
        if not path.exists():
            raise ContractError(f"{path.relative_to(self.root)} does not exist.", "Write the unit's query.")
        return path.read_text(encoding="utf-8")

    def _check_references(self) -> None:
        for contract in self.contracts.values():
            for column, reference in contract.references:
                target = self.contracts.get(reference.table)
                if target is None:
                    raise ContractError(
                        f"{contract.table}.{column.name} points to {reference.table}, which has no contract.",
                        "Add the contract or remove the relationship.",
                    )
                target.column(reference.column)


def project_root() -> Path:
    """Where the contracts and SQL are: ``LAKEHOUSE_PROJECT``, or the checkout this package runs from."""
    configured = os.environ.get("LAKEHOUSE_PROJECT")
    return Path(configured) if configured else Path(__file__).resolve().parents[3]
