"""The report of a gate as data and text: nothing is lost on the way through JSON, it is bounded, causes come first."""

from __future__ import annotations

import json
from dataclasses import replace

from lakehouse.quality.report import (
    MAX_REFUSALS,
    MAX_RULES,
    NOTE_CHARACTERS,
    Broken,
    Refusal,
    Report,
    TableRows,
    bounded,
    cause_lines,
    headline,
    lines,
    note,
    read_report,
    row_lines,
    rule_lines,
)

FILE = "landing/olist/dt=2018-03-02/olist_orders_dataset.csv"
REFUSED = Refusal(
    "olist_orders", FILE, "bought_at is not a timestamp", 461, 461, (2, 3, 4), ("99/99/9999", "aaaa")
)
ORPHANS = Broken(
    "hard", "silver", "olist_order_items", "order_id_exists", 7, 900, "none", ("order_id=a", "order_id=b"),
    "order_id points to a row of olist_orders.", ("olist_orders",), True,
)  # fmt: skip
CAUSE = Broken(
    "hard", "silver", "olist_products", "has_rows", 0, 0, "at least 1 row", (), "A delivery has rows."
)
SOFT = Broken("soft", "silver", "olist_orders", "late", 12, 1300, "none", ("order_id=c",), "Late is rare.")
ORDERS = TableRows("olist_orders", "blocked", 1461, 0, 0, 0, 1000, 461)
GOLD = TableRows("kpi_daily", "passed", None, 12, 3, 0, 100_000)
REPORT = Report(
    "olist", "silver", "2018-03-02", 7, "blocked", 120, (REFUSED,), (CAUSE, ORPHANS, SOFT), (ORDERS, GOLD),
    ('lakehouse sql "select 1"',),
)  # fmt: skip
PASSED = Report("olist", "gold", "2018-03-02", 8, "passed", 10, tables=(GOLD,))


def test_a_report_comes_back_out_of_json() -> None:
    assert read_report(json.loads(json.dumps(REPORT.as_json()))) == REPORT
    assert read_report(PASSED.as_json()) == PASSED


def test_the_cause_comes_first_and_soft_rules_do_not_hide_it() -> None:
    assert cause_lines(bounded(replace(REPORT, broken=(SOFT, ORPHANS, CAUSE)))) == [
        "olist_orders: 461 of 461 rows refused: bought_at is not a timestamp, written like 99/99/9999 or aaaa; "
        "first lines 2, 3, 4 of olist_orders_dataset.csv",
        "olist_products: hard rule has_rows is broken by a table of 0 rows, allowed: at least 1 row "
        "(A delivery has rows.)",
        "olist_order_items: hard rule order_id_exists is broken by 7 of 900 rows, allowed: none (order_id points "
        "to a row of olist_orders.); for example order_id=a, order_id=b; follows from the rows that olist_orders lacks",
    ]
    assert cause_lines(replace(REPORT, refused=(), broken=(SOFT,))) == [str(SOFT)]
    assert cause_lines(PASSED) == []


def test_rules_are_a_table_with_the_severity_of_each_line() -> None:
    (head, heads), *lines = rule_lines(REPORT)
    assert head == "head"
    rules = [(severity, line) for severity, line in lines if not line.startswith(" ")]
    assert [severity for severity, _ in rules] == ["hard", "hard", "soft"]
    for severity, line in rules:
        assert line.startswith(severity)
        assert line[heads.index("table") :].startswith("silver.olist_")
    assert "7 of 900" in rules[1][1] and "12 of 1,300" in rules[2][1]
    assert rule_lines(PASSED) == []


def test_meaning_and_keys_are_below_their_rule() -> None:
    lines = [line for _, line in rule_lines(REPORT)]
    at = next(n for n, line in enumerate(lines) if "7 of 900" in line)
    assert lines[at + 1].strip().startswith("order_id points to a row of olist_orders.; follows from")
    assert lines[at + 2].strip() == "order_id=a · order_id=b"
    long = replace(SOFT, keys=tuple(f"order_id={n:032}" for n in range(5)))
    below = [line for _, line in rule_lines(replace(REPORT, broken=(long,)))][3:]
    assert len(below) == 3 and max(map(len, below)) <= 100


def test_rows_are_a_table_with_aligned_numbers() -> None:
    head, orders, kpi = row_lines(REPORT)
    assert orders.split() == ["olist_orders", "1,461", "0", "0", "0", "1,000", "461", "0", "blocked"]
    assert kpi.split() == ["kpi_daily", "-", "12", "3", "0", "100,000", "0", "0", "passed"]
    end = head.index("unchanged") + len("unchanged")
    assert orders[:end].endswith("1,000") and kpi[:end].endswith("100,000")
    assert "conflicting" not in head
    assert "conflicting" in row_lines(replace(REPORT, tables=(replace(ORDERS, conflicting=1),)))[0]


def test_a_report_is_bounded() -> None:
    many = replace(
        REPORT, refused=(REFUSED,) * 500, broken=(replace(SOFT, meaning="x" * 9000),) * 500 + (ORPHANS, CAUSE)
    )
    cut = bounded(many)
    assert (len(cut.refused), len(cut.broken)) == (MAX_REFUSALS, MAX_RULES)
    assert cut.left_out == 1002 - MAX_REFUSALS - MAX_RULES
    assert cut.broken[:2] == (CAUSE, ORPHANS)
    assert len(json.dumps(cut.as_json())) < 50_000
    assert f"… and {cut.left_out} more in ops.quality_result" in cause_lines(cut)
    assert len(note(cut)) <= NOTE_CHARACTERS


def test_a_note_says_what_became_of_the_run() -> None:
    assert note(REPORT).startswith(
        "**blocked** · olist silver 2018-03-02\n* olist_orders: 461 of 461 rows refused"
    )
    assert note(PASSED) == "**passed** · olist gold 2018-03-02\n* 1 tables: 12 inserted, 3 updated"


def test_text_has_all_of_it() -> None:
    text = "\n".join(lines(REPORT))
    assert headline(REPORT) in text
    assert headline(PASSED) == "olist gold 2018-03-02: passed; every rule holds, 10 checked"
    some = replace(PASSED, verdict="warned", tables=(replace(GOLD, quarantined=1),))
    assert headline(some) == "olist gold 2018-03-02: warned; 1 row refused, 10 checked"
    for part in (
        "2 hard rules broken, 1 soft rule broken",
        "first lines 2, 3, 4",
        "late",
        "1,461",
        "look: lakehouse",
    ):
        assert part in text
