"""The conform SQL: from RAW text to typed rows, with the reasons of those that are refused and their rank.

One query per contract, in DuckDB's dialect. It reads the relation ``raw_input``: RAW columns (text) with
``_batch_id``, ``_source_line`` (together unique) and ``_delivery`` (the batch's date). It returns every row read
once: the contract's columns, ``_batch_id``, ``_source_line``, ``_delivery``, ``_reasons`` ('' when the row is
fine), ``_rank``: 1 for the row that wins its key within its delivery (the later line, then the first batch id), null
for refused rows, which do not compete, and ``_repeats``: a row that did not win and says what another one says. What
deliveries mean to each other is not said here: a row is judged by its own delivery alone.

White space around a text is no part of it, and nothing but white space is no value. What is left must be written
as its type is: the engine's own cast takes ``1.5``, ``1_000`` or ``0x1F`` for an integer and ``infinity`` for a
time, so a pattern comes first, and the cast has only the calendar and ranges left to judge.

The shape of the query is its speed. Patterns are what costs, so numbers, the most of an event, are first cast as
they are (DuckDB casts a dictionary once) and only held against a pattern when the value is not written back as it
was read; a text is only trimmed when it begins or ends with something else than a visible ASCII character; reasons
are only put together for refused rows; and only keys that occur again are ranked. Nothing is materialized: judging
a row twice, when its key occurs again, costs less than keeping all rows.

Spark runs it through sqlglot once ``not materialized`` is left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from lakehouse.compile.conditions import broken
from lakehouse.compile.ddl import banner, literal
from lakehouse.contract import Column, ColumnType, Contract

#: What Unicode calls white space, and two that only look like nothing: zero-width space and byte-order mark.
_SPACE = r"\pZ\t-\r\x{85}\x{200B}\x{FEFF}"
#: The same, one by one.
SPACE_CHARACTERS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
#: Types whose values have one usual way to be written, which is tried first.
_EXACT = ("smallint", "integer", "bigint", "numeric")
_YEAR = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?"
#: A day may carry a time of day, which is dropped: where clocks go forward at midnight, a source may write
#: 01:00:00 for a day.
MOMENT = f"^{_YEAR}-[0-9]{{2}}-[0-9]{{2}}([ T]{_TIME})?$"
_PATTERNS = {
    "double": "^[+-]?[0-9]{1,15}([.][0-9]{1,20})?([eE][+-]?[0-9][0-9]?)?$",
    "boolean": "^(true|false)$",
    "timestamp": MOMENT,
    "date": MOMENT,
}
#: Source formats: the pattern of the text, and the text in the words of its type.
_FORMATS = {
    "yyMMddHH": (
        "^[0-9]{6}([01][0-9]|2[0-3])$",
        "concat('20', substring({0}, 1, 2), '-', substring({0}, 3, 2), '-', substring({0}, 5, 2),"
        " ' ', substring({0}, 7, 2), ':00:00')",
    ),
}
_TECHNICAL = ("_batch_id", "_source_line", "_delivery")


def conform_sql(contract: Contract) -> str:
    """The conform query of a table (see the module for its input and output)."""
    landed = [item for column in contract.columns for item in _landed(column)]
    typed = [item for column in contract.columns for item in _typed(column)]
    refused, reasons = zip(*_judged(contract), strict=True)
    key = (*contract.key, "_delivery")
    said = (*key, *(c.name for c in contract.columns if c.name not in contract.key))
    return f"""{banner(contract)}\
with landed as not materialized (
    select
        {_lines(8, *landed, *_TECHNICAL)}
    from raw_input
),
typed as not materialized (
    select
        {_lines(8, *typed, *_TECHNICAL)}
    from landed
),
judged as not materialized (
    select
        {_lines(8, *(c.name for c in contract.columns), *_TECHNICAL)},
        case
            when
                {_lines(16, *refused, between=" or")}
            then concat_ws(
                ', ',
                {_lines(16, *reasons)}
            )
            else ''
        end as _reasons
    from typed
),
repeated as not materialized (
    select {", ".join(key)} from judged group by {", ".join(key)} having count(*) > 1
),
ranked as not materialized (
    select
        _batch_id,
        _source_line,
        row_number() over (
            partition by {", ".join(key)} order by _source_line desc, _batch_id
        ) as _rank,
        row_number() over (
            partition by {", ".join(said)} order by _source_line desc, _batch_id
        ) as _copy
    from judged
    inner join repeated using ({", ".join(key)})
    where _reasons = ''
)
select
    judged.*,
    case when _reasons = '' then coalesce(_rank, 1) end as _rank,
    coalesce(_rank > 1 and _copy > 1, false) as _repeats
from judged
left join ranked on ranked._batch_id = judged._batch_id and ranked._source_line = judged._source_line
"""


def value_sql(column: Column, raw: str) -> str:
    """What the conform query makes of one text of a column, as an expression.

    Args:
        column: says type and format.
        raw: SQL of the text, such as a column's name.

    Returns:
        SQL of a value of the column's type; null when the text is empty or is not written as the type.
    """
    if column.type.name == "text":
        return _trimmed(raw)
    if column.type.name in _EXACT:
        return _value(column, raw, f"try_cast({raw} as {column.type.sql})")
    return _value(column, _trimmed(raw), "")


def _lines(indent: int, *items: str, between: str = ",") -> str:
    """Items one below the other; the first is indented where the text is put."""
    return f"{between}\n{' ' * indent}".join(items)


def _landed(column: Column) -> Iterator[str]:
    """The text that a column is read from; a number's as it is, with what a plain cast makes of it."""
    name, raw = column.name, column.raw_name
    if column.type.name == "text":
        yield f"{_trimmed(raw)} as {name}"
    elif column.type.name in _EXACT:
        yield f"{raw} as {name}__text"
        yield f"try_cast({raw} as {column.type.sql}) as {name}"
    else:
        yield f"{_trimmed(raw)} as {name}__text"


def _trimmed(raw: str) -> str:
    """A text without the white space around it; null when nothing is left."""
    return (
        f"case when unicode({raw}) between 33 and 126 and unicode(reverse({raw})) between 33 and 126 then {raw}"
        f" else nullif(regexp_replace({raw}, '^[{_SPACE}]+|[{_SPACE}]+$', '', 'g'), '') end"
    )


def _typed(column: Column) -> Iterator[str]:
    """The value, and the text it was read from as far as reasons need it."""
    name, text = column.name, f"{column.name}__text"
    if column.type.name == "text":
        yield name
        return
    yield f"{_value(column, text, name)} as {name}"
    yield text


def _value(column: Column, text: str, plain: str) -> str:
    """The value that a text is written as; ``plain`` is what a plain cast makes of a number."""
    kind = column.type
    if kind.name in _EXACT:
        number = f"regexp_extract({text}, '^[{_SPACE}]*({_number(kind)})[{_SPACE}]*$', 1)"
        return (
            f"case when cast({plain} as text) = {text} then {plain} else try_cast({number} as {kind.sql}) end"
        )
    pattern, iso = _FORMATS[column.source_format] if column.source_format else (_PATTERNS[kind.name], "{0}")
    cast = f"try_cast({iso.format(text)} as {'timestamp' if kind.name == 'date' else kind.sql})"
    cast = f"cast({cast} as date)" if kind.name == "date" else cast
    return f"case when regexp_matches({text}, {literal(pattern)}) then {cast} end"


def _number(kind: ColumnType) -> str:
    """No bounds on the digits before the point: the cast judges ranges."""
    return "[+-]?[0-9]+" + (f"([.][0-9]{{1,{kind.scale}}})?" if kind.scale else "")


def _judged(contract: Contract) -> Iterator[tuple[str, str]]:
    """What a row is refused for: a condition that is quick for good rows, and the reason, null for good rows."""
    for column in contract.columns:
        name = column.name
        given = f"regexp_matches({name}__text, '[^{_SPACE}]')"
        unreadable = literal(f"{name} is not a {column.type.sql}")
        empty = literal(f"{name} is empty")
        if column.type.name == "text":
            if column.required:
                yield f"{name} is null", f"case when {name} is null then {empty} end"
        elif column.required:
            reason = f"case when {given} then {unreadable} else {empty} end"
            yield f"{name} is null", f"case when {name} is null then {reason} end"
        else:
            refused = f"({name} is null and {given})"
            yield refused, f"case when {refused} then {unreadable} end"
    for rule in contract.rules:
        if rule.severity == "row":
            for column_name in rule.columns:
                refused = broken(rule, column_name)
                yield refused, f"case when {refused} then {literal(rule.name)} end"
