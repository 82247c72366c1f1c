"""What contracts say about the persons behind rows, and about what is left of a person who is erased.

One column of a source is the *subject*: it says who. Rows of other tables lead there *through* a column that points to
a table which does. A column with ``erasedAs`` loses its value; everything else stays, so that sums and counts do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from lakehouse.contract.model import PSEUDONYM, Column, Contract, Person, Rule
from lakehouse.errors import ContractError

#: What pseudonyms look like: 32 hexadecimal digits.
PSEUDONYM_DIGITS = 32
_PSEUDONYM = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True, order=True)
class Link:
    """Values that lead to a person: those of a column, under the name of the table that others point to."""

    table: str
    column: str


def followed(contract: Contract) -> Link | None:
    """What tells whether a row of the table is about an erased person: the values of its person column are these."""
    column = contract.person_column
    if column is None:
        return None
    if column.person == "subject" or column.references is None:
        return Link(contract.table, column.name)
    return Link(column.references.table, column.references.column)


def handed_on(contract: Contract, contracts: Mapping[str, Contract]) -> tuple[Link, ...]:
    """What rows of the table hand on to others, which lead to the person through it; sorted."""
    links = {followed(c) for c in contracts.values() if c.source == contract.source}
    mine = {link for link in links if link and link.table == contract.table}
    return tuple(sorted(mine - {followed(contract)}))


def check_erasure(contract: Contract) -> None:
    """See to it that a person can be erased from the table without losing its rows.

    Raises:
        ContractError: a personal value would stay, or a row would be refused, or lost, without its values.
    """
    marked = [c for c in contract.columns if c.person is not None]
    for column in marked:
        if column.person not in get_args(Person):
            raise ContractError(f"{column.name}: person {column.person!r}.", "Write subject or through.")
        if column.type.name != "text":
            raise ContractError(f"{column.name}: person, but no text.", "Ids are compared as texts.")
    if len(marked) > 1:
        raise ContractError(
            f"person occurs twice: {', '.join(c.name for c in marked)}.", "A row is about one person at most."
        )
    for column in contract.erased_columns:
        if not marked:
            raise ContractError(
                f"{column.name}: erasedAs, but no column says whose row it is.",
                "Mark the column that leads to the person: person: subject or through.",
            )
        _check_value(contract, column)
    if not marked:
        return
    if marked[0].person == "subject" and marked[0].erased_as != PSEUDONYM:
        raise ContractError(
            f"{marked[0].name}: the subject needs erasedAs: {PSEUDONYM}.", "Persons are counted by it."
        )
    if marked[0].person == "through" and marked[0].references is None:
        raise ContractError(
            f"{marked[0].name}: person: through, but it points nowhere.", "Add its relationship."
        )
    staying = [c.name for c in contract.columns if c.pii == "personal" and c.erased_as is None]
    if staying:
        raise ContractError(
            f"{', '.join(staying)}: personal, and would stay when the person is erased.",
            "Say what becomes of it: erasedAs: '' or a text that its rules take.",
        )


def _check_value(contract: Contract, column: Column) -> None:
    """What an erased value becomes must be one that the column may have."""
    value = column.erased_as or ""
    if value == PSEUDONYM:
        if column.person is None:
            raise ContractError(
                f"{column.name}: erasedAs: {PSEUDONYM} is for the column that says who.",
                "Write '' or a text that its rules take.",
            )
        value = _PSEUDONYM
    elif column.key_position is not None:
        raise ContractError(f"{column.name} is part of the key; without it rows would be lost.", "Keep it.")
    if not value and column.required:
        raise ContractError(
            f"{column.name} is required, so erasedAs cannot be empty.", "Write a text that its rules take."
        )
    if value and column.type.name != "text":
        raise ContractError(f"{column.name}: only a text can be erasedAs {value!r}.", "Write erasedAs: ''.")
    for rule in contract.rules:
        if value and column.name in rule.columns and _breaks(rule, value):
            raise ContractError(
                f"{column.name}: erasedAs {value!r} breaks rule {rule.name}.",
                "Write a text that the rule takes.",
            )


def _breaks(rule: Rule, value: str) -> bool:
    if rule.kind == "pattern":
        return re.search(rule.arguments["pattern"], value) is None
    return rule.kind == "accepted_values" and value not in rule.arguments["values"]


def check_persons(contracts: Mapping[str, Contract]) -> None:
    """See to it that every ``through`` leads to the one subject of its source.

    Raises:
        ContractError: one leads nowhere or to another source, or a source has two subjects.
    """
    subjects: dict[str, str] = {}
    for contract in contracts.values():
        column = contract.person_column
        if column is None:
            continue
        if column.person == "subject":
            other = subjects.setdefault(contract.source, contract.table)
            if other != contract.table:
                raise ContractError(
                    f"{other} and {contract.table} both have a person: subject.",
                    "Let one lead to the other: person: through.",
                )
        else:
            _follow(contract, contracts)


def _follow(contract: Contract, contracts: Mapping[str, Contract]) -> None:
    """Go from table to table until the subject."""
    seen, here = {contract.table}, contract
    while here.person_column and here.person_column.person == "through":
        link = followed(here)
        there = contracts.get(link.table) if link else None
        if there is None or there.source != contract.source or there.table in seen:
            break
        if there.person_column and link == followed(there) and here.person_column.erased_as != PSEUDONYM:
            raise ContractError(
                f"{here.table}.{here.person_column.name} holds what says who.",
                f"Write erasedAs: {PSEUDONYM}, so that it goes with the subject.",
            )
        seen.add(there.table)
        here = there
    if here.person_column is None or here.person_column.person != "subject":
        raise ContractError(
            f"{contract.table}: person: through leads to no person: subject of {contract.source}.",
            "Mark the columns of the tables in between, too.",
        )


def subject_of(contracts: Mapping[str, Contract], source: str) -> Contract | None:
    """The table whose column says who a person is; None when a source knows no persons."""
    mine = (c for c in contracts.values() if c.source == source and c.person_column)
    return next((c for c in mine if c.person_column and c.person_column.person == "subject"), None)
