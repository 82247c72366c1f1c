"""The conform queries: what becomes of a text, which row of a key wins, and that every row comes out once."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from lakehouse.compile.conform import conform_sql
from lakehouse.contract import Column, ColumnType, Contract, Project, Rule

from .reading import REFUSED, SPACE, Row, conformed, expected, landed, plain, read

CONTRACTS = Project.load().contracts
NBSP, ZERO_WIDTH, BOM, FULL_WIDTH_ONE = "\u00a0", "\u200b", "\ufeff", "\uff11"
HASH = "0123456789abcdef" * 2
#: Put into every column of every table in turn.
TRICKY = (
    "", " ", "   ", NBSP, ZERO_WIDTH, BOM, "\t", "\n", "\r\n", f" {NBSP}\t", "NULL", "null", "NaN", "nan", "inf",
    "-Infinity", "None", "\\N", "-", "+",
    # numbers
    "0", "-0", "+0", "1", "+1", "-1", "--1", "1-", " 1 ", f"1{NBSP}", "1\n", "\t1", "\v1\f", f"{BOM}1", "1 \u3000",
    "\u180e1", "\x1f1", "01", "007", "1.", ".5", "-.5", "1.0", "1.00", "1.005", "1.10", "0.1", "0.30", "1,5", "1 000",
    "1_000", "1_0", "0x1F", "0b1", "1f", "1e3", "1E+03", "1e-3", "1e99", "-1e99", "1e-99", "1e100", "1e400", "12e",
    "1e+", "- 1", FULL_WIDTH_ONE, "\u0661", "\u00b2", "\u00bd", "32767", "32768", "-32768", "-32769", "2147483647",
    "2147483648", "-2147483649", "9223372036854775807", "9223372036854775808", "18446744073709551615",
    "99999999999999999999", "100000000000000000000", "9999999999.99", "10000000000.00", "-9999999999.99",
    "123456789.12", "-23.548945985189434", "-46.63467113292871", "90.0000001", "0.00000000000000000001",
    "0.000000000000000000001", "179769313486231", "1797693134862315", "0" * 40 + "1", "1.0000169349117863715e+19",
    # dates and times
    "2018-02-28", "2018-02-29", "2018-02-30", "2016-02-29", "1900-02-29", "2018-06-31", "0000-01-01", "0001-01-01",
    "0100-01-01", "1582-10-10", "9999-12-31", "2018-13-01", "2018-00-10", "2018-01-00", "2018-01-32", "2018-1-5",
    "20180105", "05/01/2018", "2018/01/05", "2018-W01-1", "2018-005", "-2018-01-05", "02018-01-05", "10000-01-01",
    "2018-01-05 (BC)", "2018-01-05T00:00:00", "2018-01-05 00:00:00", "2018-01-05 10:11:12", "2018-01-05T10:11:12",
    "2018-01-05t10:11:12", "2018-01-05  10:11:12", "2018-01-05 10:11:12.5", "2018-01-05 10:11:12.",
    "2018-01-05 10:11:12.100000", "2018-01-05 10:11:12.123456", "2018-01-05 10:11:12.1234567", "2018-01-05 24:00:00",
    "2018-01-05 24:00:00.000", "2018-01-05 23:59:60", "2018-01-05 10:60:00", "2018-01-05 1:11:12", "2018-01-05 10:11",
    "2018-01-05 10:11:12Z", "2018-01-05 10:11:12+03:00", "2018-01-05 10:11:12 UTC", "2018-01-05 10:11:12 BC",
    "infinity", "today", "now", "epoch", "2018-02-30 10:00:00", "2018-10-21 00:30:00", " 2018-01-05 10:11:12\r\n",
    # the hour of an impression
    "14102100", "14102123", "14102124", "14023010", "14130100", "00010100", "16022923", "99123123", "1410210",
    "141021000", "+4102100", "1410210a", "141021 0", "14102100\n",
    # texts
    "são paulo", "sa\u0303o paulo", "ágil", "olá", f" olá{NBSP}", f"{ZERO_WIDTH}é{BOM}", "O'Brien", 'with "quotes"',
    "back\\slash", "%s %(x)s :x", "{batch}", "a\nb", "a \t b", f"a{NBSP}b", "😀", "\U0001f3f4\U000e0067\U000e007f",
    "\u0301a", "x\u200d", " SP", "SP ", "sp", "SP", "\ufeffSP", "x" * 5000, HASH, HASH.upper(), f"{HASH}\n",
    f"{HASH}0", "delivered", "DELIVERED", "credit_card", "true", "TRUE", "True", "false", "t", "5", "6", "01001",
)  # fmt: skip


def one_column(
    kind: ColumnType, source_format: str | None = None, *rules: Rule, required: bool = False
) -> Contract:
    key = Column("id", "id", ColumnType("integer"), "Key.", required=True, key_position=1)
    column = Column("value", "Value", kind, "Value.", required=required, source_format=source_format)
    return Contract("test", "texts", "", "", "1.0.0", (key, column), rules, file_name="texts.csv")


def outcome(contract: Contract, *texts: str | None) -> list[Any]:
    """What becomes of texts in the second column: values, or reasons in brackets."""
    rows = conformed(contract, [landed(i, {"id": str(i), "value": text}) for i, text in enumerate(texts)])
    return [[row["_reasons"]] if row["_reasons"] else row["value"] for row in rows]


SMALL, INT, BIG = (ColumnType(name) for name in ("smallint", "integer", "bigint"))
ID, MONEY = ColumnType("numeric", 20, 0), ColumnType("numeric", 12, 2)
DOUBLE, BOOLEAN, TEXT = (ColumnType(name) for name in ("double", "boolean", "text"))
TIME, DAY = ColumnType("timestamp"), ColumnType("date")
ACCEPTED: tuple[tuple[ColumnType, str, Any], ...] = (
    (SMALL, "32767", 32767), (SMALL, "-32768", -32768), (SMALL, "+7", 7), (SMALL, "007", 7), (SMALL, "-0", 0),
    (INT, "2147483647", 2147483647), (INT, "-2147483648", -2147483648), (INT, "1", 1), (INT, "0000000000001", 1),
    (BIG, "9223372036854775807", 2**63 - 1), (BIG, "-9223372036854775808", -(2**63)),
    (ID, "18446744073709551615", Decimal(2**64 - 1)), (ID, "1", Decimal(1)), (ID, "+01", Decimal(1)),
    (MONEY, "0.1", Decimal("0.10")), (MONEY, "0.10", Decimal("0.10")), (MONEY, "12", Decimal(12)),
    (MONEY, "-0.01", Decimal("-0.01")), (MONEY, "9999999999.99", Decimal("9999999999.99")),
    (DOUBLE, "-23.548945985189434", -23.548945985189434), (DOUBLE, "1e-3", 0.001), (DOUBLE, "1E+03", 1000.0),
    (DOUBLE, "5", 5.0), (DOUBLE, "-0.0", 0.0),
    (BOOLEAN, "true", True), (BOOLEAN, "false", False),
    (TIME, "2018-02-28 10:00:00", datetime(2018, 2, 28, 10)), (TIME, "2018-02-28T10:00:00", datetime(2018, 2, 28, 10)),
    (TIME, "2018-02-28", datetime(2018, 2, 28)), (TIME, "0001-01-01", datetime(1, 1, 1)),
    (TIME, "2018-02-28 10:00:00.25", datetime(2018, 2, 28, 10, 0, 0, 250_000)),
    (TIME, "9999-12-31 23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999_999)),
    (DAY, "2016-02-29", date(2016, 2, 29)), (DAY, "2016-02-29 00:00:00", date(2016, 2, 29)),
    (DAY, "2018-10-21 01:00:00", date(2018, 10, 21)),
    (TEXT, "NULL", "NULL"), (TEXT, "a \t b", "a \t b"), (TEXT, "são paulo", "são paulo"), (TEXT, "ágil", "ágil"),
)  # fmt: skip
DENIED: tuple[tuple[ColumnType, tuple[str, ...]], ...] = (
    (SMALL, ("32768", "-32769", "1.0", "1e2", "1_0", "0x1F", "1 0", "--1", "+", "NaN", FULL_WIDTH_ONE, "true")),
    (INT, ("2147483648", "1.", ".5", "1,5", "0b1", "null")),
    (BIG, ("9223372036854775808", "1e3")),
    (ID, ("100000000000000000000", "1.0", "1.0000169349117863715e+19", "1_000", "inf")),
    (MONEY, ("1.005", "1.100", "1.", ".5", "1e2", "10000000000.00", "1,00", "R$ 1", "nan")),
    (DOUBLE, ("nan", "inf", "-Infinity", "1e100", "1e400", "12e", ".5", "1.", "1_0", "1234567890123456", "0x1p3")),
    (BOOLEAN, ("TRUE", "True", "t", "1", "0", "yes")),
    (TIME, ("2018-02-30 10:00:00", "2018-02-28 24:00:00", "2018-02-28 23:59:60", "0000-01-01 00:00:00", "today",
            "2018-02-28 10:00:00+03:00", "2018-02-28 10:00:00Z", "2018-02-28 10:00", "2018-02-28 1:00:00", "infinity",
            "2018-02-28 10:00:00.1234567", "10000-01-01 00:00:00", "2018-2-28", "20180228", "28/02/2018", "now")),
    (DAY, ("2018-02-29", "2018-02-28 24:00:00", "2018-13-01", "2018-1-5", "2018-01-05 (BC)", "epoch")),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "value"), ACCEPTED)
def test_text_that_is_accepted(kind: ColumnType, text: str, value: Any) -> None:
    assert outcome(one_column(kind), text, f" {text}", f"\t{NBSP}{text}\r\n{BOM}") == [value] * 3
    assert read(text, kind) == value, "the specification in Python says the same"


@pytest.mark.parametrize(("kind", "texts"), DENIED, ids=lambda v: v.sql if isinstance(v, ColumnType) else "")
def test_text_that_is_refused(kind: ColumnType, texts: tuple[str, ...]) -> None:
    assert outcome(one_column(kind), *texts) == [[f"value is not a {kind.sql}"]] * len(texts)
    assert {read(text, kind) for text in texts} == {REFUSED}


def test_hour_in_the_format_of_its_source() -> None:
    contract = one_column(TIME, "yyMMddHH")
    texts = ("14102100", "14102123", " 14102123\n", "00010100", "99123123")
    first, last = datetime(2014, 10, 21), datetime(2014, 10, 21, 23)
    assert outcome(contract, *texts) == [first, last, last, datetime(2000, 1, 1), datetime(2099, 12, 31, 23)]
    refused = ("14102124", "14023010", "14130100", "1410210", "141021000", "+4102100", "2014-10-21 00:00:00")
    assert outcome(contract, *refused) == [["value is not a timestamp"]] * len(refused)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (TEXT, "7", "7"), (TEXT, "é", "é"), (INT, "7", 7), (MONEY, "7", Decimal(7)), (DOUBLE, "7", 7.0),
        (BOOLEAN, "true", True), (TIME, "2018-01-05", datetime(2018, 1, 5)), (DAY, "2018-01-05", date(2018, 1, 5)),
    ],
)  # fmt: skip
def test_white_space_around_a_text_is_no_part_of_it(kind: ColumnType, text: str, value: Any) -> None:
    around = [t for s in SPACE for t in (f"{s}{text}", f"{text}{s}", f"{s} {text} {s}{s}")]
    nothing = [t for s in SPACE for t in (s, f"{s} {s}")]
    contract = one_column(kind)
    assert outcome(contract, *around, *nothing) == [value] * len(around) + [None] * len(nothing)
    within = [f"{text}{space}{text}" for space in SPACE]
    refused = [[f"value is not a {kind.sql}"]] * len(within)
    assert outcome(contract, *within) == (within if kind == TEXT else refused)


@pytest.mark.parametrize("mark", ["\u200d", "\u2060", "\u00ad", "\x1f", "\x00", "\u0301", "\U000e007f"])
def test_other_invisible_characters_belong_to_the_text(mark: str) -> None:
    assert outcome(one_column(TEXT), mark, f"{mark}a", f"a{mark}") == [mark, f"{mark}a", f"a{mark}"]
    assert outcome(one_column(INT), f"1{mark}") == [["value is not a integer"]]


@pytest.mark.parametrize(
    "kind", [SMALL, INT, BIG, ID, MONEY, DOUBLE, BOOLEAN, TIME, DAY, TEXT], ids=lambda k: k.sql
)
def test_no_value(kind: ColumnType) -> None:
    nothing = (None, "", " ", f"\t{NBSP}\n")
    assert outcome(one_column(kind), *nothing) == [None] * 4
    assert outcome(one_column(kind, required=True), *nothing) == [["value is empty"]] * 4


def test_reasons_are_all_given_and_rules_come_last() -> None:
    rules = (
        Rule("even", "accepted_values", "row", ("value",), {"values": [2, 4, 6]}),
        Rule("small", "range", "row", ("value",), {"minimum": 1, "maximum": 5}),
        Rule("warned", "range", "soft", ("value",), {"maximum": 0}),
        Rule("given", "not_null", "row", ("value",)),
    )
    contract = one_column(INT, None, *rules)
    assert outcome(contract, "2", "3", "6", "7", "x", None) == [
        2, ["even"], ["small"], ["even, small"], ["value is not a integer, given"], ["given"],
    ]  # fmt: skip
    (row,) = conformed(contract, [landed(1, {"id": "x", "value": "7"})])
    assert row["_reasons"] == "id is not a integer, even, small"


def test_pattern_may_match_a_part_unless_it_is_anchored() -> None:
    rules = [Rule("p", "pattern", "row", ("value",), {"pattern": p}) for p in ("b'c", "^a")]
    assert outcome(one_column(TEXT, None, *rules), "ab'cd", "b'c", "bc", " ab'c\n", "\na", "") == [
        "ab'cd", ["p"], ["p, p"], "ab'c", ["p"], None,
    ]  # fmt: skip


@pytest.mark.parametrize("table", sorted(CONTRACTS))
def test_every_text_in_every_column(table: str) -> None:
    contract = CONTRACTS[table]
    base = {c.raw_name: plain(c, contract) for c in contract.columns}
    rows = [base] + [base | {c.raw_name: text} for c in contract.columns for text in TRICKY]
    found = conformed(contract, [landed(line, row) for line, row in enumerate(rows)])
    names = [c.name for c in contract.columns]
    made = [([row[name] for name in names], row["_reasons"]) for row in found]
    wanted = [expected(contract, row) for row in rows]
    differing = [triple for triple in zip(rows, made, wanted, strict=True) if triple[1] != triple[2]]
    assert differing[:3] == []
    assert made[0][1] == "", "the plain row is fine"
    assert any(reasons for _, reasons in made[1:])


def test_columns_and_types_of_the_result() -> None:
    for contract in CONTRACTS.values():
        raw = ", ".join(f"null::text as {c.raw_name}" for c in contract.columns)
        with duckdb.connect() as engine:
            engine.execute(
                f"create view raw_input as select {raw}, '' as _batch_id, 1::bigint as _source_line, "
                "current_date as _delivery"
            )
            found = engine.sql(conform_sql(contract))
            types = {
                c.name: str(engine.sql(f"select null::{c.type.sql} as x").types[0]) for c in contract.columns
            }
            types |= {"_batch_id": "VARCHAR", "_source_line": "BIGINT", "_delivery": "DATE"}
            types |= {"_reasons": "VARCHAR", "_rank": "BIGINT", "_repeats": "BOOLEAN"}
            assert {n: str(t) for n, t in zip(found.columns, found.types, strict=True)} == types


def ranks(rows: list[Row]) -> dict[tuple[str, int], int | None]:
    """Batch (its last digit) and line → rank."""
    return {(row["_batch_id"][-1], row["_source_line"]): row["_rank"] for row in rows}


@pytest.mark.parametrize("table", sorted(CONTRACTS))
def test_which_row_of_a_key_wins(table: str) -> None:
    contract = CONTRACTS[table]
    base = {c.raw_name: plain(c, contract) for c in contract.columns}
    required = [c.raw_name for c in contract.columns if c.required]
    broken, also_broken = (base | {name: ""} for name in (required[0], required[-1]))
    newer = date(2018, 1, 6)
    rows = [
        landed(5, base),
        landed(9, base),
        landed(2, base, newer, batch=2),
        landed(3, base, newer, batch=3),
        landed(3, base, newer, batch=2),
        landed(8, broken, newer, batch=4),
        landed(9, also_broken, newer, batch=4),
    ]
    found = ranks(conformed(contract, rows))
    # A row competes within its delivery only: the later line wins, then the first batch.
    assert found == {
        ("2", 3): 1, ("3", 3): 2, ("2", 2): 3, ("1", 9): 1, ("1", 5): 2, ("4", 8): None, ("4", 9): None
    }  # fmt: skip


def test_a_later_delivery_changes_nothing_about_an_earlier_one() -> None:
    contract = one_column(INT)
    earlier = [landed(line, {"id": "7", "value": value}) for line, value in ((1, "10"), (2, "20"), (3, "x"))]
    later = [
        landed(line, {"id": "7", "value": value}, date(2018, 1, 6), batch=2)
        for line, value in ((1, "10"), (2, ""))
    ]
    alone = conformed(contract, earlier)
    together = conformed(contract, [*later, *earlier])
    assert [row for row in together if row["_delivery"] == date(2018, 1, 5)] == alone


def repeats(contract: Contract, *rows: dict[str, str]) -> list[str]:
    """What becomes of rows of one delivery, in the order of their lines."""
    found = conformed(contract, [landed(line, row) for line, row in enumerate(rows)])
    fates = {(1, False): "wins", (None, False): "refused"}
    return [
        fates.get((row["_rank"], row["_repeats"]), "repeats" if row["_repeats"] else "conflicts")
        for row in found
    ]


@pytest.mark.parametrize(
    ("values", "fates"),
    [
        (["5", "5"], ["repeats", "wins"]),
        (["5", "05", " 5\n", "+5"], ["repeats", "repeats", "repeats", "wins"]),
        (["4", "5"], ["conflicts", "wins"]),
        # Something else that is said twice is one conflict, and one repetition of it.
        (["4", "4", "5"], ["repeats", "conflicts", "wins"]),
        (["5", "4", "5"], ["repeats", "conflicts", "wins"]),
        (["3", "4", "5"], ["conflicts", "conflicts", "wins"]),
        (["", "5"], ["conflicts", "wins"]),
        (["", " "], ["repeats", "wins"]),
        # Refused rows say nothing: neither do they win, nor does anybody repeat or contradict them.
        (["5", "x"], ["wins", "refused"]),
        (["x", "x"], ["refused", "refused"]),
        (["x", "5", "5"], ["refused", "repeats", "wins"]),
        (["5"], ["wins"]),
    ],
)  # fmt: skip
def test_rows_of_a_key_repeat_or_contradict(values: list[str], fates: list[str]) -> None:
    assert repeats(one_column(INT), *({"id": "7", "value": value} for value in values)) == fates
    others = [{"id": "8", "value": "5"}, {"id": "9", "value": "5"}]
    assert repeats(one_column(INT), *({"id": "7", "value": v} for v in values), *others) == [
        *fates,
        "wins",
        "wins",
    ]


@pytest.mark.parametrize("table", sorted(CONTRACTS))
def test_a_row_repeats_only_what_agrees_in_every_column(table: str) -> None:
    contract = CONTRACTS[table]
    base = {c.raw_name: plain(c, contract) for c in contract.columns}
    assert repeats(contract, base, base) == ["repeats", "wins"]
    for column in contract.columns:
        if column.key_position is None and not column.required:
            assert repeats(contract, base | {column.raw_name: ""}, base) == ["conflicts", "wins"]


def test_keys_are_compared_as_values() -> None:
    rows = [landed(line, {"id": text, "value": "x"}) for line, text in enumerate(("7", "007", " 7\n", "8"))]
    found = conformed(one_column(TEXT), rows)
    assert [row["_rank"] for row in found] == [3, 2, 1, 1]


def events() -> Contract:
    columns = (
        Column("id", "id", INT, "Key.", required=True, key_position=1),
        Column("moment", "moment", TIME, "When.", required=True, partitioned=True),
    )
    return Contract("test", "events", "", "", "1.0.0", columns, (), file_name="events.csv")


@pytest.mark.parametrize("contract", [one_column(TIME, required=True), events()], ids=lambda c: c.table)
def test_every_row_comes_out_once_and_one_row_of_each_key_wins(contract: Contract) -> None:
    dice = random.Random(8)
    names = [c.raw_name for c in contract.columns]
    rows = []
    for position in range(6000):
        texts = (
            dice.choice([str(dice.randrange(1500)), f" {dice.randrange(1500)}", "x"]),
            dice.choice(
                ["2018-01-05 10:11:12"] * 6 + ["2018-01-05T10:11:12", "2018-01-06", "2018-01-07", ""]
            ),
        )
        batch = position % 4
        delivery = date(2018, 1, 1 + batch // 2)
        rows.append(landed(position // 4, dict(zip(names, texts, strict=True)), delivery, batch))
    dice.shuffle(rows)
    found = conformed(contract, rows)
    place = [(r["_batch_id"], r["_source_line"]) for r in found]
    assert Counter(place) == Counter((r["_batch_id"], r["_source_line"]) for r in rows)
    competing: dict[Any, list[Row]] = {}
    for row in found:
        if row["_reasons"]:
            assert (row["_rank"], row["_repeats"]) == (None, False)
        else:
            competing.setdefault((row["id"], row["_delivery"]), []).append(row)
    assert 0 < len(competing) < len(rows)
    for same_key in competing.values():
        same_key.sort(key=lambda r: (-r["_source_line"], r["_batch_id"]))
        assert [r["_rank"] for r in same_key] == list(range(1, len(same_key) + 1))
        said = [r[contract.columns[1].name] for r in same_key]
        assert [r["_repeats"] for r in same_key] == [value in said[:n] for n, value in enumerate(said)]


def test_nothing_comes_of_nothing() -> None:
    for contract in CONTRACTS.values():
        assert conformed(contract, []) == []
