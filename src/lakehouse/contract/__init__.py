"""What a table is: reads the contracts (ODCS v3 YAML) of all tables, landed and computed.

The only room that knows YAML. Everything else sees :class:`Contract`, :class:`GoldModel`, :class:`Column` and
:class:`Rule`.
"""

from lakehouse.contract.model import (
    Column,
    ColumnType,
    Contract,
    GoldModel,
    Reference,
    Rule,
    TableContract,
)
from lakehouse.contract.project import Project

__all__ = [
    "Column",
    "ColumnType",
    "Contract",
    "GoldModel",
    "Project",
    "Reference",
    "Rule",
    "TableContract",
]
