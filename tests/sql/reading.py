"""What a text is worth as a value of a type, said in Python: the specification the conform queries are held to."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from lakehouse.compile.conform import conform_sql
from lakehouse.contract import Column, ColumnType, Contract, Rule

Row = dict[str, Any]
REFUSED = "refused"
#: Unicode's White_Space, then zero-width space and byte-order mark.
SPACE = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"
)
_BITS = {"smallint": 16, "integer": 32, "bigint": 64}
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.]([0-9]{1,6}))?)?"
)


def read(text: str | None, kind: ColumnType, source_format: str | None = None) -> Any:
    """The value, None when there is none, or REFUSED."""
    bare = (text or "").strip(SPACE)
    if not bare:
        return None
    if source_format:
        return _hour(bare)
    return _READERS[kind.name](bare, kind)


def _text(bare: str, _: ColumnType) -> Any:
    return bare


def _whole(bare: str, kind: ColumnType) -> Any:
    if not re.fullmatch("[+-]?[0-9]+", bare):
        return REFUSED
    bound = 1 << (_BITS[kind.name] - 1)
    return int(bare) if -bound <= int(bare) < bound else REFUSED


def _numeric(bare: str, kind: ColumnType) -> Any:
    precision, scale = kind.precision or 0, kind.scale or 0
    match = re.fullmatch("[+-]?([0-9]+)(?:[.]([0-9]+))?", bare)
    if not match or len(match[2] or "") > scale or len(match[1].lstrip("0")) > precision - scale:
        return REFUSED
    return Decimal(bare)


def _double(bare: str, _: ColumnType) -> Any:
    pattern = "[+-]?[0-9]{1,15}([.][0-9]{1,20})?([eE][+-]?[0-9]{1,2})?"
    return float(bare) if re.fullmatch(pattern, bare) else REFUSED


def _boolean(bare: str, _: ColumnType) -> Any:
    return {"true": True, "false": False}.get(bare, REFUSED)


def _time(bare: str, kind: ColumnType) -> Any:
    match = _TIME.fullmatch(bare)
    if not match:
        return REFUSED
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, int((match[7] or "").ljust(6, "0")))
    except ValueError:
        return REFUSED
    return moment if kind.name == "timestamp" else moment.date()


def _hour(bare: str) -> Any:
    if not re.fullmatch("[0-9]{8}", bare):
        return REFUSED
    try:
        return datetime(2000 + int(bare[:2]), int(bare[2:4]), int(bare[4:6]), int(bare[6:]))
    except ValueError:
        return REFUSED


_READERS: dict[str, Callable[[str, ColumnType], Any]] = {
    "text": _text,
    "smallint": _whole,
    "integer": _whole,
    "bigint": _whole,
    "numeric": _numeric,
    "double": _double,
    "boolean": _boolean,
    "timestamp": _time,
    "date": _time,
}


def keeps(rule: Rule, value: Any) -> bool:
    """Whether a value that is there keeps a rule."""
    given = rule.arguments
    if rule.kind == "accepted_values":
        return value in given["values"]
    if rule.kind == "pattern":
        return re.search(given["pattern"], value) is not None
    assert rule.kind == "range", rule.kind
    least, most = (
        datetime.fromisoformat(bound) if isinstance(bound := given.get(name), str) else bound
        for name in ("minimum", "maximum")
    )
    return (least is None or value >= least) and (most is None or value <= most)


def expected(contract: Contract, row: Mapping[str, Any]) -> tuple[list[Any], str]:
    """A RAW row's values, in order of the columns, and its reasons."""
    values: dict[str, Any] = {}
    reasons = []
    for column in contract.columns:
        value = read(row[column.raw_name], column.type, column.source_format)
        values[column.name] = None if value == REFUSED else value
        if value == REFUSED and column.type.name != "text":
            reasons.append(f"{column.name} is not a {column.type.sql}")
        elif value is None and column.required:
            reasons.append(f"{column.name} is empty")
    reasons += [
        rule.name
        for rule in contract.rules
        if rule.severity == "row"
        for name in rule.columns
        if values[name] is not None and not keeps(rule, values[name])
    ]
    return list(values.values()), ", ".join(reasons)


def landed(
    line: int, values: Mapping[str, str | None], delivery: date = date(2018, 1, 5), batch: int = 1
) -> Row:
    """A RAW row."""
    return {**values, "_batch_id": str(uuid.UUID(int=batch)), "_source_line": line, "_delivery": delivery}


def conformed(contract: Contract, rows: Sequence[Row]) -> list[Row]:
    """What the query makes of RAW rows, in order of lines and batches."""
    names = [c.raw_name for c in contract.columns]
    columns: list[tuple[str, pa.DataType]] = [(name, pa.string()) for name in (*names, "_batch_id")]
    schema = pa.schema([*columns, ("_source_line", pa.int64()), ("_delivery", pa.date32())])
    with duckdb.connect(config={"threads": 2}) as engine:
        engine.register("raw_input", pa.Table.from_pylist(list(rows), schema))
        found = engine.sql(conform_sql(contract))
        made = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    return sorted(made, key=lambda row: (row["_source_line"], row["_batch_id"]))


def plain(column: Column, contract: Contract) -> str:
    """A text that conforms to a column."""
    for rule in contract.rules:
        if rule.kind == "accepted_values" and column.name in rule.columns:
            return str(rule.arguments["values"][0])
        if rule.kind == "pattern" and column.name in rule.columns:
            return "0123456789abcdef" * 2 if "32" in rule.arguments["pattern"] else "01001"
    if column.source_format:
        return "14102100"
    return {"text": "text", "timestamp": "2018-01-05 10:11:12", "date": "2018-01-05"}.get(
        column.type.name, "1"
    )
