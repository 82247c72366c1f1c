"""What deliveries say of a key over time, as data: from judged rows to states that begin and end with deliveries."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from lakehouse.contract import Contract, Project
from lakehouse.engine.session import Session, open_session
from lakehouse.engine.versions import versions

#: Deliveries are for days of one month.
State = tuple[Any, ...]
GONE = "gone"


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with open_session(None) as opened:
        yield opened


@dataclass(frozen=True)
class Said:
    """A row of a delivery. ``rank`` is None for a refused row."""

    day: int
    key: str | None
    value: str | None = None
    rank: int | None = 1

    @property
    def conformed(self) -> tuple[Any, ...]:
        reasons = "" if self.rank else "refused"
        return (self.key, self.value, f"batch {self.day}", 1, date(2018, 3, self.day), reasons, self.rank)


def refused(day: int, key: str | None) -> Said:
    return Said(day, key, rank=None)


def states(
    session: Session, *rows: Said, fulls: Sequence[int] = (), initial: Sequence[State] = ()
) -> list[State]:
    """(key, value or GONE, day from, day to or None) of each state, in order. ``initial`` is given likewise."""
    _given(session, {"id": "text", "value": "text"}, [row.conformed for row in rows], fulls)
    known = [
        (k, None if v == GONE else v, None if v == GONE else "known", 0, date(2018, 3, since), v == GONE)
        for k, v, since, _ in initial
    ]
    session.values("initial", _initial({"id": "text", "value": "text"}), known)
    versions(session, columns=("id", "value"), key=("id",))
    found = session.rows(
        "select id, value, is_deleted, valid_from, valid_to from versions order by id, valid_from"
    )
    return [(k, GONE if gone else v, since.day, to and to.day) for k, v, gone, since, to in found]


def _given(
    session: Session, columns: dict[str, str], rows: Sequence[tuple[Any, ...]], fulls: Sequence[int]
) -> None:
    judged = {
        "_batch_id": "text",
        "_source_line": "bigint",
        "_delivery": "date",
        "_reasons": "text",
        "_rank": "bigint",
    }
    session.values("conformed", columns | judged, rows)
    session.values("fulls", {"delivery": "date"}, [(date(2018, 3, day),) for day in fulls])


def _initial(columns: dict[str, str]) -> dict[str, str]:
    return columns | {
        "_batch_id": "text", "_source_line": "bigint", "valid_from": "date", "is_deleted": "boolean"
    }  # fmt: skip


def test_a_change_ends_a_state_and_begins_one(session: Session) -> None:
    assert states(session, Said(1, "a", "x"), Said(1, "b", "x"), Said(3, "a", "y")) == [
        ("a", "x", 1, 3), ("a", "y", 3, None), ("b", "x", 1, None),
    ]  # fmt: skip


def test_the_same_again_begins_nothing_and_a_value_that_comes_back_does(session: Session) -> None:
    rows = [Said(day, "a", value) for day, value in ((1, "x"), (2, "x"), (3, None), (4, None), (5, "x"))]
    assert states(session, *rows) == [("a", "x", 1, 3), ("a", None, 3, 5), ("a", "x", 5, None)]


def test_only_the_winner_of_a_delivery_says_something(session: Session) -> None:
    assert states(session, Said(1, "a", "x"), Said(2, "a", "y", rank=2), Said(2, "a", "x")) == [
        ("a", "x", 1, None)
    ]
    assert states(session, refused(1, "a"), refused(2, None)) == []


def test_what_a_full_delivery_lacks_is_gone(session: Session) -> None:
    rows = [Said(1, "a", "x"), Said(1, "b", "x"), Said(2, "b", "x")]
    assert states(session, *rows) == [("a", "x", 1, None), ("b", "x", 1, None)], (
        "an increment says nothing of a"
    )
    assert states(session, *rows, fulls=[2]) == [("a", "x", 1, 2), ("a", GONE, 2, None), ("b", "x", 1, None)]


def test_a_full_delivery_speaks_of_what_came_before_it_only(session: Session) -> None:
    assert states(session, Said(1, "b", "x"), Said(3, "a", "x"), Said(3, "b", "x"), fulls=[1, 2]) == [
        ("a", "x", 3, None), ("b", "x", 1, 2), ("b", GONE, 2, 3), ("b", "x", 3, None),
    ]  # fmt: skip


def test_gone_once_however_many_full_deliveries_lack_it(session: Session) -> None:
    assert states(session, Said(1, "a", "x"), Said(1, "b", "x"), Said(4, "b", "y"), fulls=[2, 3, 4]) == [
        ("a", "x", 1, 2), ("a", GONE, 2, None), ("b", "x", 1, 2), ("b", GONE, 2, 4), ("b", "y", 4, None),
    ]  # fmt: skip


def test_gone_and_back_and_gone(session: Session) -> None:
    assert states(session, Said(1, "a", "x"), Said(3, "a", "x"), fulls=[2, 4]) == [
        ("a", "x", 1, 2), ("a", GONE, 2, 3), ("a", "x", 3, 4), ("a", GONE, 4, None),
    ]  # fmt: skip


def test_a_refused_row_says_nothing_but_shows_that_its_key_is_not_gone(session: Session) -> None:
    assert states(session, Said(1, "a", "x"), refused(2, "a"), fulls=[2]) == [("a", "x", 1, None)]
    assert states(session, Said(1, "a", "x"), refused(2, "a"), fulls=[2, 3]) == [
        ("a", "x", 1, 3),
        ("a", GONE, 3, None),
    ]
    assert states(session, refused(1, "a"), fulls=[2]) == [], "nobody misses what nothing has been said of"
    assert states(session, refused(1, "a"), Said(3, "a", "x"), fulls=[2]) == [("a", "x", 3, None)]
    assert states(session, Said(1, "a", "x"), refused(3, "a"), fulls=[2, 4]) == [
        ("a", "x", 1, 2),
        ("a", GONE, 2, None),
    ]


def test_what_was_known_before_is_kept_closed_or_opened_again(session: Session) -> None:
    known = [("a", "x", 1, None), ("b", "x", 1, None), ("c", "x", 1, None), ("d", "x", 1, 9)]
    assert states(session, Said(5, "a", "x"), Said(5, "b", "y"), fulls=[5], initial=known) == [
        ("a", "x", 1, None),
        ("b", "x", 1, 5), ("b", "y", 5, None),
        ("c", "x", 1, 5), ("c", GONE, 5, None),
        ("d", "x", 1, 5), ("d", GONE, 5, None),
    ]  # fmt: skip
    # What ended it was withdrawn.
    assert states(session, initial=known[3:]) == [("d", "x", 1, None)]


def test_what_was_known_to_be_gone_stays_so_until_it_comes(session: Session) -> None:
    known = [(key, GONE, 2, None) for key in ("a", "b", "c")]
    assert states(session, Said(5, "a", "x"), refused(5, "c"), fulls=[6], initial=known) == [
        ("a", GONE, 2, 5), ("a", "x", 5, 6), ("a", GONE, 6, None), ("b", GONE, 2, None), ("c", GONE, 2, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "other"),
    [
        (("seen_on", "gone_on"), "seen_again_on"),
        (("id", "state"), "number"),
        (("number", "state"), "seen"),
        (("missed", "lasting"), "said"),
        (("dates", "fulls"), "gone"),
        (("conformed", "earlier"), "initial"),
        (("changes", "compared"), "versions"),
    ],
)
def test_composite_keys_and_columns_named_like_what_the_query_uses(
    session: Session, key: tuple[str, str], other: str
) -> None:
    columns = dict.fromkeys((*key, other), "text")
    rows = [
        (first, second, value, f"batch {day}", 1, date(2018, 3, day), "", 1)
        for first, second, value, day in (
            ("a", "1", "x", 1), ("a", "2", "x", 1), ("b", "1", "x", 1), ("a", "1", "y", 2), ("a", "2", "x", 2)
        )
    ]  # fmt: skip
    _given(session, columns, rows, fulls=[2])
    session.values("initial", _initial(columns), [])
    versions(session, columns=tuple(columns), key=key)
    found = session.rows(
        f"select {', '.join(columns)}, is_deleted from versions order by {', '.join(key)}, valid_from"
    )
    assert found == [
        ("a", "1", "x", False), ("a", "1", "y", False), ("a", "2", "x", False), ("b", "1", "x", False),
        ("b", "1", None, True),
    ]  # fmt: skip


def test_a_state_names_the_row_that_said_it_and_nothing_for_what_is_gone(session: Session) -> None:
    states(session, Said(1, "a", "x"), Said(2, "a", "x"), fulls=[3])
    assert session.rows("select _batch_id, _source_line from versions order by valid_from") == [
        ("batch 1", 1), (None, None)
    ]  # fmt: skip


DAYS, KEYS = range(1, 9), "abcd"


def _random_deliveries(seed: int) -> tuple[list[Said], list[int]]:
    dice = random.Random(seed)
    rows = []
    for day in DAYS:
        for key in KEYS:
            fate = dice.choice(("lacks", "lacks", "says", "says", "refused", "both"))
            if fate in ("says", "both"):
                rows.append(Said(day, key, dice.choice(("x", "y", None))))
            if fate in ("refused", "both"):
                rows.append(refused(day, key))
    return rows, [day for day in DAYS if dice.random() < 0.4]


def _by_hand(rows: Sequence[Said], fulls: Sequence[int]) -> list[State]:
    """The same, day by day."""
    found: list[State] = []
    for key in KEYS:
        said: list[tuple[str | None, int]] = []
        for day in DAYS:
            mine = [row for row in rows if (row.key, row.day) == (key, day)]
            winner = next((row for row in mine if row.rank), None)
            if winner and (not said or said[-1][0] != winner.value):
                said.append((winner.value, day))
            elif not mine and day in fulls and said and said[-1][0] != GONE:
                said.append((GONE, day))
        ends = [*(day for _, day in said[1:]), None]
        found += [(key, value, day, end) for (value, day), end in zip(said, ends, strict=False)]
    return found


@pytest.mark.parametrize("seed", range(10))
def test_worked_out_since_any_day_the_states_are_the_same(session: Session, seed: int) -> None:
    """From what was known just before a day and the deliveries since, as from all deliveries."""
    rows, fulls = _random_deliveries(seed)
    whole = _by_hand(rows, fulls)
    assert states(session, *rows, fulls=fulls) == whole
    for since in DAYS:
        known = [s for s in whole if s[2] < since and (s[3] is None or s[3] >= since)]
        later = [row for row in rows if row.day >= since]
        wanted = [s for s in whole if s[3] is None or s[3] >= since]
        assert states(session, *later, fulls=[f for f in fulls if f >= since], initial=known) == wanted


HISTORIES = [c for c in Project.load().contracts.values() if c.history]


@pytest.mark.parametrize("contract", HISTORIES, ids=lambda c: c.table)
def test_the_rule_of_a_history_reports_gaps_overlaps_and_closed_ends(
    session: Session, contract: Contract
) -> None:
    assert contract.history is not None
    (rule,) = contract.history.rules
    days = {"valid_from": "date", "valid_to": "date"}
    said: dict[str, list[tuple[int, int | None]]] = {
        "fine": [(1, 3), (3, 5), (5, None)],
        "gap": [(1, 3), (4, None)],
        "overlap": [(1, 5), (4, None)],
        "ended": [(1, 3)],
        "never ends": [(1, None), (3, None)],
    }
    rows = [
        (key, date(2018, 3, since), to and date(2018, 3, to))
        for key, ranges in said.items()
        for since, to in ranges
    ]
    session.values("staged", dict.fromkeys(contract.key, "text") | days, rows)
    reported = session.rows(f"select * from ({rule.arguments['query']}) as q order by 1, 2")
    assert reported == [(key, date(2018, 3, 1)) for key in ("ended", "gap", "never ends", "overlap")]
