"""Reads one contract: Open Data Contract Standard v3, the subset this project gives a meaning to.

Tables that land and tables that are computed have the same form; the domain ``gold`` and a few custom properties
tell them apart. Stricter than the standard: a key without a meaning here is refused, because a contract that is
silently ignored is worse than none. Source of the format:
https://bitol-io.github.io/open-data-contract-standard/
"""

from __future__ import annotations

import re
from collections.abc import Set
from datetime import date
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.contract.erasure import check_erasure
from lakehouse.contract.model import (
    Column,
    ColumnType,
    Contract,
    DeliveryKind,
    GoldModel,
    History,
    Pii,
    Reference,
    Rule,
    RuleKind,
    TableContract,
)
from lakehouse.errors import ContractError

#: SQL type → the logical type that ODCS calls it.
LOGICAL_TYPES = {
    "text": "string",
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "numeric": "number",
    "double": "number",
    "timestamp": "timestamp",
    "date": "date",
    "boolean": "boolean",
}
#: The domain of the tables that are computed.
GOLD = "gold"
#: The unit of tables that are recomputed whole.
_ALL = "all"
_LANDED_PROPERTIES = frozenset(
    {
        "fileName",
        "quarantineTolerance",
        "allowEmpty",
        "deliveryDateColumn",
        "delivery",
        "shrinkTolerance",
        "earliestDate",
        "keepsHistory",
    }
)
_DELIVERY_KINDS: tuple[DeliveryKind, ...] = ("full", "increment")
_GOLD_PROPERTIES = frozenset({"source", "unit", "scope"})
_COLUMN_PROPERTIES = frozenset({"indexed"})
_LANDED_COLUMN_PROPERTIES = _COLUMN_PROPERTIES | {"sourceName", "sourceFormat", "person", "erasedAs"}
_RELATIONSHIP_PROPERTIES = frozenset({"severity"})
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,58}")
#: Names of rules stand in SQL and pages, names of files in paths and keys.
_RULE_NAME = re.compile(r"[a-z][a-z0-9_]{0,98}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,98}")
_PII: dict[str | None, Pii] = {
    None: "none",
    "public": "none",
    "pseudonym": "pseudonym",
    "personal": "personal",
}
_METRICS: dict[str, RuleKind] = {
    "nullValues": "not_null",
    "duplicateValues": "unique",
    "rowCount": "row_count",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Custom(_Strict):
    property: str
    value: Any
    description: str | None = None


class _Relationship(_Strict):
    type: Literal["foreignKey"] = "foreignKey"
    to: str
    customProperties: list[_Custom] = Field(default_factory=list)


class _Quality(_Strict):
    name: str
    description: str
    type: Literal["library", "sql"] = "library"
    metric: Literal["nullValues", "duplicateValues", "rowCount", "invalidValues"] | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    mustBe: Literal[0] | None = None
    mustBeGreaterOrEqualTo: int | None = None
    query: str | None = None
    severity: Literal["hard", "row", "soft"]


class _Property(_Strict):
    name: str
    logicalType: str
    physicalType: str
    description: str
    required: bool = False
    primaryKey: bool = False
    primaryKeyPosition: int | None = None
    partitioned: bool = False
    partitionKeyPosition: int | None = None
    classification: Literal["public", "pseudonym", "personal"] | None = None
    relationships: list[_Relationship] = Field(default_factory=list)
    quality: list[_Quality] = Field(default_factory=list)
    customProperties: list[_Custom] = Field(default_factory=list)


class _Table(_Strict):
    name: str
    physicalName: str
    logicalType: Literal["object"] = "object"
    dataGranularityDescription: str
    properties: list[_Property] = Field(min_length=1)
    quality: list[_Quality] = Field(default_factory=list)


class _Retention(_Strict):
    property: Literal["retention"]
    value: int
    unit: Literal["d"]


class _Description(_Strict):
    purpose: str
    limitations: str | None = None
    usage: str | None = None


class _Team(_Strict):
    name: str


class _Document(_Strict):
    apiVersion: Literal["v3.0.2", "v3.1.0"]
    kind: Literal["DataContract"]
    id: str
    name: str
    version: str
    status: Literal["active", "draft", "deprecated"]
    domain: str
    description: _Description
    team: _Team | None = None
    schema_: list[_Table] = Field(alias="schema", min_length=1, max_length=1)
    slaProperties: list[_Retention] = Field(default_factory=list, max_length=1)
    customProperties: list[_Custom] = Field(default_factory=list)


def read_contract(path: Path, sql: str = "") -> Contract | GoldModel:
    """Read one contract file; ``sql`` is the query of a computed table, kept in its model.

    Raises:
        ContractError: it is not valid YAML, has a key without a meaning, or contradicts itself; the message
            names the file and the place in it.
    """
    try:
        document = _Document.model_validate(_parse(path.read_text(encoding="utf-8")))
        table = document.schema_[0]
        read = _model(document, table, sql) if document.domain == GOLD else _contract(document, table)
        _check(read, table)
        return read
    except yaml.YAMLError as error:
        raise ContractError(f"{path}: not valid YAML: {error}", "Mend the indentation or quoting.") from error
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise ContractError(
            f"{path}: {places}", "docs/contracts.md lists the keys a contract may have."
        ) from error
    except ContractError as error:
        raise ContractError(f"{path}: {error.message}", error.hint) from error


def _parse(text: str) -> Any:
    """Safe YAML by the C loader: all contracts in 0.1 s instead of 1.5, and every DAG file parse pays this."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe


def _contract(document: _Document, table: _Table) -> Contract:
    custom = _custom(document.customProperties, _LANDED_PROPERTIES)
    if "fileName" not in custom:
        raise ContractError("customProperties lacks fileName.", "Name the file of the delivery to read.")
    contract = Contract(
        **_common(document, table, _LANDED_COLUMN_PROPERTIES),
        source=document.domain,
        file_name=str(custom["fileName"]),
        retention_days=document.slaProperties[0].value if document.slaProperties else None,
        quarantine_tolerance=float(custom.get("quarantineTolerance", 0.0)),
        allow_empty=bool(custom.get("allowEmpty", False)),
        delivery_date_column=custom.get("deliveryDateColumn"),
        keeps_history=bool(custom.get("keepsHistory", False)),
        **_landing(custom),
    )
    if contract.delivery_date_column:
        contract.column(contract.delivery_date_column)
    if contract.history:
        _check_history(contract.history)
    check_erasure(contract)
    return contract


def _check_history(history: History) -> None:
    """A history is of entities, and adds columns of its own."""
    if history.of.partition_column:
        raise ContractError(
            "keepsHistory has no meaning for a table of events: nothing is said of an event again.",
            "Remove it.",
        )
    names = [c.name for c in history.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ContractError(
            f"keepsHistory adds {', '.join(twice)}, which the table has.",
            "Call the table's column otherwise.",
        )


def _landing(custom: dict[str, Any]) -> dict[str, Any]:
    """How deliveries of the table are taken, as far as the contract says it."""
    found: dict[str, Any] = {}
    if "delivery" in custom:
        if custom["delivery"] not in _DELIVERY_KINDS:
            raise ContractError(f"delivery {custom['delivery']!r}.", f"Write {' or '.join(_DELIVERY_KINDS)}.")
        found["delivery_kind"] = custom["delivery"]
    if "shrinkTolerance" in custom:
        share = custom["shrinkTolerance"]
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ContractError(f"shrinkTolerance {share!r}.", "Write a share from 0 to 1.")
        found["shrink_tolerance"] = float(share)
    if "earliestDate" in custom:
        try:
            # YAML reads an unquoted day as a date.
            found["earliest_date"] = date.fromisoformat(str(custom["earliestDate"]))
        except ValueError as error:
            raise ContractError(
                f"earliestDate {custom['earliestDate']!r} is not a day.", "Write it as YYYY-MM-DD."
            ) from error
    return found


def _model(document: _Document, table: _Table, sql: str) -> GoldModel:
    custom = _custom(document.customProperties, _GOLD_PROPERTIES)
    lacking = sorted({"source", "unit"} - custom.keys())
    if lacking:
        raise ContractError(
            f"customProperties lacks {', '.join(lacking)}.",
            "source is whose DAGs compute the table, unit what it is recomputed by (or all).",
        )
    if document.slaProperties:
        raise ContractError("slaProperties has no meaning for a computed table.", "Remove it.")
    if custom["unit"] == _ALL and "scope" in custom:
        raise ContractError("scope has no meaning where unit is all.", "Remove it.")
    model = GoldModel(
        **_common(document, table, _COLUMN_PROPERTIES),
        source=str(custom["source"]),
        unit=str(custom["unit"]),
        scope=None if custom["unit"] == _ALL else str(custom.get("scope", custom["unit"])),
        sql=sql,
    )
    for rule in model.rules:
        if rule.severity == "row":
            raise ContractError(
                f"rule {rule.name}: a computed row cannot go to quarantine.", "Make it hard or soft."
            )
    if any(c.partitioned for c in model.columns):
        raise ContractError("partitioned has no meaning for a computed table.", "Remove it.")
    if model.scope:
        model.column(model.scope)
    return model


def _common(document: _Document, table: _Table, column_properties: Set[str]) -> dict[str, Any]:
    """What every table has, by the names of the model."""
    return {
        "name": table.name,
        "description": document.description.purpose.strip(),
        "grain": table.dataGranularityDescription.strip(),
        "version": document.version,
        "columns": tuple(_column(p, column_properties) for p in table.properties),
        "rules": tuple(_rules(table)),
        "owner": document.team.name if document.team else "",
    }


def _check(contract: TableContract, table: _Table) -> None:
    for name in (contract.table, *(n for c in contract.columns for n in (c.name, c.raw_name))):
        if not _IDENTIFIER.fullmatch(name):
            raise ContractError(
                f"{name!r} is not an identifier.",
                "Names become SQL: use a-z, 0-9 and _, beginning with a letter.",
            )
    for rule in contract.rules:
        if not _RULE_NAME.fullmatch(rule.name):
            raise ContractError(f"{rule.name!r} is no name of a rule.", "Use a-z, 0-9 and _.")
    if isinstance(contract, Contract) and not _FILE_NAME.fullmatch(contract.file_name):
        raise ContractError(
            f"fileName {contract.file_name!r} is not the plain name of a file.",
            "Use letters, digits, _, - and dots; it becomes part of a path.",
        )
    if isinstance(contract, GoldModel) and not _IDENTIFIER.fullmatch(contract.unit):
        raise ContractError(
            f"unit {contract.unit!r} is not an identifier.", "It names a file; use a-z, 0-9 and _."
        )
    if table.physicalName != contract.table:
        raise ContractError(f"physicalName is {table.physicalName!r}.", f"Call the table {contract.table!r}.")
    if not contract.key:
        raise ContractError("no column has primaryKey.", "Mark the columns that identify a row.")
    for what, names in (
        ("name", [c.name for c in contract.columns]),
        ("sourceName", [c.raw_name for c in contract.columns]),
        ("rule name", [r.name for r in contract.rules]),
    ):
        doubled = sorted({n for n in names if names.count(n) > 1})
        if doubled:
            raise ContractError(f"{what} occurs twice: {', '.join(doubled)}.", "Give each its own.")
    for rule in contract.rules:
        for column in rule.columns:
            contract.column(column)


def _column(prop: _Property, known: Set[str]) -> Column:
    custom = _custom(prop.customProperties, known)
    column_type = parse_type(prop.physicalType)
    if LOGICAL_TYPES[column_type.name] != prop.logicalType:
        raise ContractError(
            f"{prop.name}: logicalType {prop.logicalType} does not fit physicalType {prop.physicalType}.",
            f"Write logicalType: {LOGICAL_TYPES[column_type.name]}.",
        )
    if len(prop.relationships) > 1:
        raise ContractError(f"{prop.name}: two relationships.", "A column may point to one table.")
    return Column(
        name=prop.name,
        source_name=str(custom.get("sourceName", prop.name)),
        type=column_type,
        description=prop.description.strip(),
        required=prop.required or prop.primaryKey,
        key_position=(prop.primaryKeyPosition or 1) if prop.primaryKey else None,
        pii=_PII[prop.classification],
        references=_reference(prop.relationships[0]) if prop.relationships else None,
        source_format=custom.get("sourceFormat"),
        indexed=bool(custom.get("indexed", False)),
        partitioned=prop.partitioned,
        person=custom.get("person"),
        erased_as=str(custom["erasedAs"]) if "erasedAs" in custom else None,
    )


def parse_type(text: str) -> ColumnType:
    """``numeric(12,2)`` and the like.

    Raises:
        ContractError: the type is not one this project knows.
    """
    match = re.fullmatch(r"(\w+)(?: precision)?(?:\((\d+),(\d+)\))?", text)
    name = match.group(1) if match else text
    if match is None or name not in LOGICAL_TYPES or (name == "numeric") != bool(match.group(2)):
        raise ContractError(f"unknown physicalType {text!r}.", f"One of {', '.join(LOGICAL_TYPES)}.")
    if name == "numeric":
        return ColumnType(name, int(match.group(2)), int(match.group(3)))
    return ColumnType(name)


def _reference(relationship: _Relationship) -> Reference:
    custom = _custom(relationship.customProperties, _RELATIONSHIP_PROPERTIES)
    table, _, column = relationship.to.partition(".")
    if not column:
        raise ContractError(f"relationship to {relationship.to!r}.", "Write table.column.")
    severity = custom.get("severity", "hard")
    if severity not in ("hard", "soft"):
        raise ContractError(
            f"relationship to {relationship.to}: severity {severity!r}.", "Write hard or soft."
        )
    return Reference(table, column, severity)


def _rules(table: _Table) -> list[Rule]:
    rules = [_rule(q, ()) for q in table.quality]
    for prop in table.properties:
        rules += [_rule(q, (prop.name,)) for q in prop.quality]
    return rules


def _rule(quality: _Quality, columns: tuple[str, ...]) -> Rule:
    arguments = dict(quality.arguments)
    columns = tuple(arguments.pop("properties", columns))
    kind = _kind(quality, arguments)
    if kind == "row_count":
        arguments = {"minimum": quality.mustBeGreaterOrEqualTo or 1}
    elif kind == "sql":
        arguments = {"query": quality.query}
    elif kind == "accepted_values":
        arguments = {"values": arguments["validValues"]}
    if quality.severity == "row" and kind not in ("not_null", "accepted_values", "range", "pattern"):
        raise ContractError(
            f"rule {quality.name}: a {kind} rule cannot be decided row by row.", "Make it hard or soft."
        )
    return Rule(quality.name, kind, quality.severity, columns, arguments, quality.description)


def _kind(quality: _Quality, arguments: dict[str, Any]) -> RuleKind:
    if quality.type == "sql":
        if not quality.query:
            raise ContractError(f"rule {quality.name}: no query.", "Write a SELECT of the broken rows' keys.")
        return "sql"
    if quality.metric in _METRICS:
        return _METRICS[quality.metric]
    kinds: dict[frozenset[str], RuleKind] = {
        frozenset({"validValues"}): "accepted_values",
        frozenset({"pattern"}): "pattern",
        frozenset({"minimum"}): "range",
        frozenset({"maximum"}): "range",
        frozenset({"minimum", "maximum"}): "range",
    }
    kind = kinds.get(frozenset(arguments)) if quality.metric == "invalidValues" else None
    if kind is None:
        raise ContractError(
            f"rule {quality.name}: metric {quality.metric} with arguments {sorted(arguments)}.",
            "invalidValues takes validValues, pattern, or minimum and/or maximum.",
        )
    return kind


def _custom(properties: list[_Custom], known: Set[str]) -> dict[str, Any]:
    unknown = sorted({p.property for p in properties} - known)
    if unknown:
        raise ContractError(
            f"unknown customProperties {', '.join(unknown)}.", f"Known here: {', '.join(sorted(known))}."
        )
    return {p.property: p.value for p in properties}
