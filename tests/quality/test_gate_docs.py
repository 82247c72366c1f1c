"""Data Docs: readable without the internet, bounded, and safe when several gates write at once."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lakehouse.compile.rules import IN_SET, QUERY, ROW_COUNT, Expectation
from lakehouse.contract import Column, ColumnType, Contract, Rule
from lakehouse.engine.session import Session, open_session
from lakehouse.quality.docs import DocsTarget
from lakehouse.quality.gate import Subject, contract_subject, run_gate

PROJECT = Path(__file__).resolve().parents[2] / "great_expectations"
SUBJECT = Subject(
    "olist_orders",
    "t",
    ("id",),
    frozenset(),
    (
        Expectation("has_rows", "hard", ROW_COUNT, {"min_value": 1}, "There are rows."),
        Expectation(
            "id_is_small",
            "soft",
            IN_SET,
            {"column": "id", "value_set": [1, 2]},
            "Small ids.",
            "select id from staged where id not in (1, 2)",
            "id not in (1, 2)",
        ),
    ),
)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with open_session(None) as opened:
        opened.table("t", "select unnest(range(1, 6)) as id")
        yield opened


@pytest.fixture
def target(tmp_path: Path) -> DocsTarget:
    """The project's own templates and suites, pages of its own."""
    home = tmp_path / "great_expectations"
    shutil.copytree(PROJECT, home, ignore=shutil.ignore_patterns("uncommitted"))
    return DocsTarget(home)


def audit(session: Session, target: DocsTarget, key: str = "2018-01-01", subject: Subject = SUBJECT) -> None:
    run_gate(session, [subject], layer="silver", partition_key=key, source="olist", docs=target)


class Page(HTMLParser):
    """What a browser would fetch or follow, and the text it would show."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.links, self.words = path, list[str](), list[str]()
        self.fetched = list[str]()
        self._silent = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._silent += tag in ("style", "script")
        if tag in ("script", "img", "iframe") and given.get("src"):
            self.fetched.append(str(given["src"]))
        if tag == "link":
            self.fetched.append(str(given.get("href")))
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def pages(target: DocsTarget) -> list[Page]:
    return [Page(path) for path in sorted(target.folder.rglob("*.html"))]


def test_pages_need_nothing_from_elsewhere_and_their_links_work(session: Session, target: DocsTarget) -> None:
    audit(session, target)
    found = pages(target)
    kinds = {p.path.relative_to(target.folder).parts[0] for p in found}
    assert kinds == {"index.html", "validations", "expectations"}
    for page in found:
        assert page.fetched == [], page.path
        for link in page.links:
            if link.startswith("#"):
                continue
            assert not link.startswith("http"), (page.path, link)
            assert (page.path.parent / link).resolve().is_file(), (page.path, link)
        assert "url(" not in page.path.read_text(encoding="utf-8")


def test_the_front_page_lists_the_audits(session: Session, target: DocsTarget) -> None:
    audit(session, target, key="2018-01-01")
    audit(session, target, key="2018-01-02")
    front = Page(target.folder / "index.html")
    assert "olist-silver-2018-01-01" in front.text
    assert "olist-silver-2018-01-02" in front.text
    assert "silver.olist_orders" in front.text
    assert "Failed" in front.text


def test_an_audits_page_shows_rule_severity_counts_and_keys(session: Session, target: DocsTarget) -> None:
    audit(session, target)
    (page,) = [p for p in pages(target) if "validations" in p.path.parts]
    assert "id_is_small (soft): Small ids. For example id=3, id=4, id=5." in page.text
    assert "3 unexpected values found" in page.text
    assert "has_rows (hard)" in page.text


@pytest.mark.parametrize(
    ("kind", "arguments", "shown"),
    [
        ("not_null", {}, "For example id=4. 1 unexpected values found. 25% of 4 total rows. 75% not null"),
        (
            "accepted_values",
            {"values": [7]},
            "For example id=3. 1 unexpected values found. 25% of 4 total rows.",
        ),
        ("range", {"maximum": 8}, "For example id=3. 1 unexpected values found. 25% of 4 total rows."),
        ("pattern", {"pattern": "^7$"}, "For example id=3. 1 unexpected values found. 25% of 4 total rows."),
        ("unique", {}, "For example name=7. 1 unexpected values found. 25% of 4 total rows."),
        ("foreign_key", {"table": "names", "column": "name"}, "For example id=3. 1 "),
        ("sql", {"query": "select id from staged where id = 4"}, "For example id=4. 1 "),
    ],
)
def test_every_kind_of_rule_is_shown_with_its_counts(
    session: Session, target: DocsTarget, kind: Any, arguments: dict[str, Any], shown: str
) -> None:
    name = "integer" if kind != "pattern" else "text"
    session.table("ods.names", f"select cast(7 as {name}) as name")
    rows = "values (1, 7), (2, 7), (3, 9), (4, null)"
    session.table("named", f"select id, cast(name as {name}) as name from ({rows}) as t (id, name)")
    columns = tuple(
        Column(n, n, ColumnType("integer"), n, key_position=1 if n == "id" else None) for n in ("id", "name")
    )
    rule = Rule("r", kind, "soft", ("name",), arguments, "why")
    contract = Contract(
        "olist", "names", "", "One row per id.", "1.0.0", columns, (rule,), file_name="names.csv"
    )
    audit(session, target, subject=contract_subject(contract, "named"))
    (page,) = [p for p in pages(target) if "validations" in p.path.parts]
    assert f"r (soft): why {shown}" in page.text
    assert "key_is_unique (hard): Grain: One row per id." in page.text


def test_a_rule_that_could_not_be_evaluated_says_why(session: Session, target: DocsTarget) -> None:
    query = "select nope from staged"
    rule = Expectation("r", "hard", QUERY, {"unexpected_rows_query": query}, "Never.", query)
    audit(session, target, subject=replace(SUBJECT, expectations=(rule,)))
    (page,) = [p for p in pages(target) if "validations" in p.path.parts]
    assert "nope" in page.text
    assert "Binder Error" in page.text
    assert "Traceback" not in page.text


def test_old_audits_go(session: Session, target: DocsTarget) -> None:
    few = replace(target, keep=2)
    for day in range(1, 5):
        audit(session, few, key=f"2018-01-0{day}")
    shown = {p.path.parents[1].name for p in pages(few) if "validations" in p.path.parts}
    assert shown == {"olist-silver-2018-01-03", "olist-silver-2018-01-04"}
    assert len(list(few.results.rglob("*.json"))) == 2
    assert "2018-01-01" not in Page(few.folder / "index.html").text


def listed(target: DocsTarget) -> list[str]:
    """The audits on the front page, from top to bottom; every link to one works."""
    links = [link for link in Page(target.folder / "index.html").links if link.startswith("validations/")]
    assert all((target.folder / link).is_file() for link in links)
    return list(dict.fromkeys(f"{link.split('/')[2]} {link.split('/')[3][-10:]}" for link in links))


def test_an_audit_is_added_without_a_look_at_those_of_other_tables(
    session: Session, target: DocsTarget
) -> None:
    audit(session, target, subject=replace(SUBJECT, table="other"))
    (other,) = target.results.rglob("*.json")
    other.write_text("not to be read")
    page = next(target.folder.rglob("validations/**/*.html"))
    page.write_text("not to be made again")
    audit(session, target, key="2018-01-02")
    assert listed(target) == ["olist_orders 2018-01-02", "other 2018-01-01"]
    assert page.read_text() == "not to be made again"


@pytest.mark.parametrize("front", [None, "<html>of an older version</html>"])
def test_a_front_page_that_is_lost_is_made_from_the_stored_results(
    session: Session, target: DocsTarget, front: str | None
) -> None:
    audit(session, target, subject=replace(SUBJECT, table="other"))
    index = target.folder / "index.html"
    index.unlink() if front is None else index.write_text(front)
    audit(session, target, key="2018-01-02")
    assert listed(target) == ["olist_orders 2018-01-02", "other 2018-01-01"]


def test_what_a_killed_gate_has_not_listed_the_next_one_does(session: Session, target: DocsTarget) -> None:
    audit(session, target, key="2018-01-01")
    before = (target.folder / "index.html").read_text()
    audit(session, target, key="2018-01-02")
    (target.folder / "index.html").write_text(before)
    audit(session, target, key="2018-01-03")
    assert listed(target) == [f"olist_orders 2018-01-0{day}" for day in (3, 2, 1)]


def test_a_suite_that_went_is_not_shown(session: Session, target: DocsTarget) -> None:
    suites = target.home / "expectations" / "silver"
    shutil.copy(suites / "olist_orders.json", suites / "gone.json")
    audit(session, target, subject=replace(SUBJECT, table="gone"))
    assert "expectations/silver/gone.html" in Page(target.folder / "index.html").links
    (suites / "gone.json").unlink()
    audit(session, target)
    assert not (target.folder / "expectations" / "silver" / "gone.html").exists()
    shown = [link for link in Page(target.folder / "index.html").links if link.startswith("expectations/")]
    assert "expectations/silver/olist_orders.html" in shown


_OTHER_PROCESS = """
import sys
from pathlib import Path
from lakehouse.compile.rules import ROW_COUNT, Expectation
from lakehouse.contract import Column, ColumnType, Contract, Rule
from lakehouse.engine.session import open_session
from lakehouse.quality.docs import DocsTarget
from lakehouse.quality.gate import Subject, run_gate

home, source = sys.argv[1:]
rule = Expectation("has_rows", "hard", ROW_COUNT, {"min_value": 1})
subjects = [Subject(f"t{n}", "t", ("id",), frozenset(), (rule,)) for n in range(5)]
with open_session(None) as session:
    session.table("t", "select 1 as id")
    for n in range(3):
        run_gate(session, subjects, layer="silver", partition_key=f"2018-01-0{n}", source=source,
                 docs=DocsTarget(Path(home)))
"""


def test_gates_that_write_at_once_lose_nothing(target: DocsTarget) -> None:
    command = [sys.executable, "-c", _OTHER_PROCESS, str(target.home)]
    both = [
        subprocess.Popen([*command, source], stderr=subprocess.PIPE, text=True)
        for source in ("olist", "avazu")
    ]
    assert [process.communicate(timeout=300)[1] for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    front = Page(target.folder / "index.html")
    assert front.text.count("olist-silver") == front.text.count("avazu-silver") == 15
    audits = [link for link in front.links if link.startswith("validations/")]
    assert len(set(audits)) == 30
    assert all((target.folder / link).is_file() for link in audits)


def test_pages_that_cannot_be_written_hold_no_data_back(
    session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "file-not-folder"
    home.write_text("")
    audit(session, DocsTarget(home))
    assert "could not be written" in caplog.text


def test_the_pages_can_be_built_again_by_hand(session: Session, target: DocsTarget) -> None:
    query = "select id from staged where id > 4"
    rule = Expectation("few", "hard", QUERY, {"unexpected_rows_query": query}, "Ids are few.", query)
    audit(session, target, subject=replace(SUBJECT, expectations=(rule,)))
    shutil.rmtree(target.folder)
    program = (
        "import sys, great_expectations as gx\n"
        "gx.get_context(mode='file', context_root_dir=sys.argv[1]).build_data_docs()"
    )
    subprocess.run([sys.executable, "-c", program, str(target.home)], check=True, timeout=300)
    (page,) = [p for p in pages(target) if "validations" in p.path.parts]
    assert "few (hard): Ids are few. For example id=5." in page.text
    assert page.fetched == []
    audit(session, target, key="2018-01-02")
    assert listed(target) == ["olist_orders 2018-01-02", "olist_orders 2018-01-01"]
