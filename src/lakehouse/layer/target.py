"""A table that a layer makes, as both homes know it."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from lakehouse.compile.ddl import RAW_CONSTANTS, TableDdl, gold_ddl, ods_ddl, raw_ddl
from lakehouse.compile.schemas import bronze_schema, gold_schema, silver_schema
from lakehouse.contract import Contract, Project, TableContract
from lakehouse.contract.model import PARTITION_COLUMN, Layer


@dataclass(frozen=True)
class Target:
    """The table's contract, its DDL in the warehouse and its schema in the lake."""

    layer: Layer
    contract: TableContract
    ddl: TableDdl
    schema: pa.Schema

    @classmethod
    def of(cls, project: Project, layer: Layer, table: str) -> Target:
        """The target of a layer's table."""
        if layer == "gold":
            model = project.gold[table]
            return cls(layer, model, gold_ddl(model), gold_schema(model))
        if layer == "bronze":
            contract = project.contracts[table]
            return cls(layer, contract, raw_ddl(contract), bronze_schema(contract))
        kept = project.silver[table]
        return cls(layer, kept, ods_ddl(kept), silver_schema(kept))

    @property
    def table(self) -> str:
        """The table's name."""
        return self.contract.table

    @property
    def columns(self) -> dict[str, str]:
        """Column → Postgres type, in order."""
        return self.ddl.columns

    @property
    def key(self) -> tuple[str, ...]:
        """What identifies a row."""
        return self.ddl.key

    @property
    def technical(self) -> tuple[str, ...]:
        """Columns that are written but do not make a row different."""
        return tuple(c for c in self.columns if c.startswith("_") and c != PARTITION_COLUMN)

    @property
    def constants(self) -> tuple[str, ...]:
        """Columns that are the same in all rows of what is staged."""
        return RAW_CONSTANTS if self.layer == "bronze" else ()

    @property
    def has_dates(self) -> bool:
        """Whether its partitions are the dates of deliveries: a table of events."""
        return self.ddl.partition_column == PARTITION_COLUMN

    @property
    def tolerance(self) -> float:
        """The share of rows that may go to quarantine."""
        return self.contract.quarantine_tolerance if isinstance(self.contract, Contract) else 0.0

    @property
    def may_be_empty(self) -> bool:
        """Whether a delivery of it may have no rows."""
        return isinstance(self.contract, Contract) and self.contract.allow_empty
