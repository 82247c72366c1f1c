"""What a table is: reads the contracts (ODCS v3 YAML) and the headers of the gold models.

The only room that knows YAML. Everything else sees :class:`Contract`, :class:`Column`, :class:`Rule` and
:class:`GoldModel`.
"""

from lakehouse.contract.gold import GoldModel
from lakehouse.contract.model import Column, ColumnType, Contract, Reference, Rule
from lakehouse.contract.project import Project

__all__ = ["Column", "ColumnType", "Contract", "GoldModel", "Project", "Reference", "Rule"]
