"""The whole project: every contract and every gold model, read once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from lakehouse.contract.erasure import check_persons
from lakehouse.contract.model import Contract, GoldModel, History, Layer, TableContract
from lakehouse.contract.reader import GOLD, read_contract
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
            ContractError: a file is not valid, a computed table lacks its contract or its query, or the tables
                contradict each other.
        """
        root = root or project_root()
        queries = {p.stem: p for p in sorted((root / "sql" / "gold").glob("*.sql"))}
        landed = sorted(p for p in (root / "contracts").glob("*/*.yaml") if p.parent.name != GOLD)
        computed = sorted((root / "contracts" / GOLD).glob("*.yaml"))
        for name in sorted(queries.keys() ^ {p.stem for p in computed}):
            raise ContractError(
                f"contracts/gold/{name}.yaml and sql/gold/{name}.sql: one of them does not exist.",
                "A computed table has both: what its columns mean, and how they are computed.",
            )
        contracts = [_landed(p) for p in landed]
        models = [_computed(p, queries[p.stem]) for p in computed]
        project = cls(root, {c.table: c for c in contracts}, {m.table: m for m in models})
        project._check_references()
        check_persons(project.contracts)
        project._check_gold()
        return project

    @cached_property
    def silver(self) -> dict[str, Contract | History]:
        """The tables of silver and ODS: every landed one, and the histories that contracts ask for."""
        found: dict[str, Contract | History] = dict(self.contracts)
        return found | {c.history.table: c.history for c in self.contracts.values() if c.history}

    def staged_with(self, table: str) -> tuple[str, ...]:
        """The tables that one staging task makes: the table, and its history when it has one."""
        history = self.contracts[table].history if table in self.contracts else None
        return (table, history.table) if history else (table,)

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
        """A landed table points to landed ones, a computed one to computed ones: these are published together."""
        groups: tuple[Mapping[str, TableContract], ...] = (self.contracts, self.gold)
        for group in groups:
            for table in group.values():
                for column, reference in table.references:
                    target = group.get(reference.table)
                    if target is None:
                        raise ContractError(
                            f"{table.table}.{column.name} points to {reference.table}, which has no contract.",
                            "Add the contract or remove the relationship.",
                        )
                    target.column(reference.column)

    def _check_gold(self) -> None:
        """Queries read tables that exist, and do not read each other in a circle."""
        for model in self.gold.values():
            if model.source not in self.sources:
                raise ContractError(
                    f"contracts/gold/{model.table}.yaml names source {model.source}.",
                    f"There are: {', '.join(self.sources)}.",
                )
            unknown = [f"gold.{t}" for t in sorted(model.gold_references - self.gold.keys())]
            unknown += [f"ods.{t}" for t in sorted(model.ods_references - self.silver.keys())]
            if unknown:
                raise ContractError(
                    f"sql/gold/{model.table}.sql reads {', '.join(unknown)}, which has no contract.",
                    "Mend the name, or add the contract.",
                )
            foreign = [f"gold.{t}" for t in model.gold_references if self.gold[t].source != model.source]
            foreign += [f"ods.{t}" for t in model.ods_references if self.silver[t].source != model.source]
            if foreign:
                raise ContractError(
                    f"sql/gold/{model.table}.sql reads {', '.join(sorted(foreign))}, which another source than "
                    f"{model.source} feeds.",
                    "A run pins the tables of its own source only. Compute the part of each source in a table of "
                    "its own.",
                )
        try:
            TopologicalSorter({t: m.gold_references for t, m in self.gold.items()}).prepare()
        except CycleError as error:
            raise ContractError(
                f"Circular gold tables: {' → '.join(error.args[1])}.",
                "A computed table reads tables that are computed before it, and never its own past.",
            ) from error


def _landed(path: Path) -> Contract:
    contract = read_contract(path)
    if not isinstance(contract, Contract) or contract.source != path.parent.name:
        raise ContractError(f"{path}: domain is not {path.parent.name}.", "The domain is the folder's name.")
    return contract


def _computed(path: Path, query: Path) -> GoldModel:
    model = read_contract(path, query.read_text(encoding="utf-8").strip().rstrip(";"))
    if not isinstance(model, GoldModel) or model.table != path.stem:
        raise ContractError(
            f"{path}: domain {model.source}, table {model.table}.",
            f"Write domain: {GOLD} and call the table {path.stem}, as its files are called.",
        )
    return model


def source_names(root: Path | None = None) -> frozenset[str]:
    """The sources that have a folder of contracts, without reading these."""
    folders = ((root or project_root()) / "contracts").iterdir()
    return frozenset(f.name for f in folders if f.is_dir() and f.name != GOLD)


def project_root() -> Path:
    """Where the contracts and SQL are: ``LAKEHOUSE_PROJECT``, or the checkout this package runs from."""
    configured = os.environ.get("LAKEHOUSE_PROJECT")
    return Path(configured) if configured else Path(__file__).resolve().parents[3]
