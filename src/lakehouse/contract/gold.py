"""Reads the header of a gold model: grain, key, what makes it stale, the definition of every column."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.contract.model import Pii, Rule
from lakehouse.errors import ContractError

_HEADER = re.compile(r"\A\s*/\*(.*?)\*/\s*(.*)\Z", re.DOTALL)


class _RuleHeader(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    severity: Literal["hard", "soft"]
    description: str
    sql: str


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")
    description: str
    source: str
    grain: str
    key: list[str] = Field(min_length=1)
    affected_by: str
    scope: str | None = None
    columns: dict[str, str] = Field(min_length=1)
    pii: dict[str, Pii] = Field(default_factory=dict)
    references: dict[str, str] = Field(default_factory=dict)
    rules: list[_RuleHeader] = Field(default_factory=list)


@dataclass(frozen=True)
class GoldModel:
    """One gold table: its documented header and the SELECT that computes it.

    ``affected_by`` names the unit of recomputation (``sql/gold/affected/<source>/<unit>.sql``, or ``all``);
    ``scope`` is the output column that holds the unit, None for ``all``.
    """

    table: str
    source: str
    description: str
    grain: str
    key: tuple[str, ...]
    affected_by: str
    scope: str | None
    columns: dict[str, str]
    pii: dict[str, Pii]
    references: dict[str, str]
    rules: tuple[Rule, ...]
    sql: str

    @cached_property
    def gold_references(self) -> frozenset[str]:
        """The other gold tables this one reads (its own served rows not counted)."""
        return frozenset(_reads("gold", self.sql)) - {self.table}

    @cached_property
    def ods_references(self) -> frozenset[str]:
        """The ODS tables this one reads."""
        return frozenset(_reads("ods", self.sql))


def _reads(schema: str, sql: str) -> list[str]:
    """Tables of a schema in a query. A pattern, because DAG files need this and must not wait for a parser."""
    return re.findall(rf"\b(?:from|join)\s+{schema}\.(\w+)", re.sub(r"--[^\n]*", "", sql), re.IGNORECASE)


def read_gold(path: Path) -> GoldModel:
    """Read ``sql/gold/<table>.sql``.

    Raises:
        ContractError: no header, an unknown key in it, or a key column that is not described.
    """
    text = path.read_text(encoding="utf-8")
    match = _HEADER.match(text)
    if not match:
        raise ContractError(f"{path}: no header.", "Begin with /* … */ holding YAML; copy another model's.")
    try:
        # The C loader: DAG files read all headers, in every task's process.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        header = _Header.model_validate(yaml.load(match.group(1), loader))  # noqa: S506 - both are safe
    except (yaml.YAMLError, ValidationError) as error:
        raise ContractError(f"{path}: header: {error}", "Compare with another model's header.") from error
    scope = None if header.affected_by == "all" else header.scope or header.affected_by
    named: dict[str, Any] = {"key": header.key, "pii": header.pii, "scope": [scope] if scope else []}
    for what, names in named.items():
        missing = [n for n in names if n not in header.columns]
        if missing:
            raise ContractError(f"{path}: {what} names {missing}.", "Describe them under columns.")
    return GoldModel(
        table=path.stem,
        source=header.source,
        description=header.description.strip(),
        grain=header.grain,
        key=tuple(header.key),
        affected_by=header.affected_by,
        scope=scope,
        columns=header.columns,
        pii=header.pii,
        references=header.references,
        rules=tuple(
            Rule(r.name, "sql", r.severity, (), {"query": r.sql}, r.description) for r in header.rules
        ),
        sql=match.group(2).strip().rstrip(";"),
    )
