"""Data Docs: readable without the internet, bounded, and safe when several gates write at once."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lakehouse.compile.rules import IN_SET, QUERY, ROW_COUNT, Expectation
from lakehouse.contract import Column, ColumnType, Contract, Rule
from lakehouse.engine.session import Session, open_session
from lakehouse.home.pages import Aged, LocalPages
from lakehouse.home.pages import Page as Found
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
    project = tmp_path / "great_expectations"
    shutil.copytree(PROJECT, project)
    return DocsTarget(LocalPages(tmp_path / "data-docs"), project, {"olist_orders": "commerce-data"})


def folder(target: DocsTarget) -> Path:
    assert isinstance(target.pages, LocalPages)
    return target.pages.folder


def audit(session: Session, target: DocsTarget, key: str = "2018-01-01", subject: Subject = SUBJECT) -> None:
    run_gate(session, [subject], layer="silver", partition_key=key, source="olist", docs=target)


def audited(target: DocsTarget) -> Page:
    """The page of the only audit."""
    (page,) = [p for p in pages(target) if "validations" in p.path.parts]
    return page


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
        # The pages are shown under a policy that allows neither.
        assert not given.keys() & {"style", "onclick", "onload"}
        if tag in ("script", "img", "iframe") and given.get("src"):
            self.fetched.append(str(given["src"]))
        if tag == "wbr":
            self.words.append("\0")  # a name may break here, and is one all the same
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
        return re.sub(r"\s+", " ", " ".join(self.words).replace(" \0 ", ""))


def pages(target: DocsTarget) -> list[Page]:
    return [Page(path) for path in sorted(folder(target).rglob("*.html"))]


def test_pages_need_nothing_from_elsewhere_and_their_links_work(session: Session, target: DocsTarget) -> None:
    audit(session, target)
    found = pages(target)
    kinds = {p.path.relative_to(folder(target)).parts[0] for p in found}
    assert kinds == {"index.html", "gates", "validations", "expectations"}
    for page in found:
        assert len(page.fetched) == 3
        for link in page.links + page.fetched:
            assert not link.startswith(("http", "/")), (page.path, link)
            assert (page.path.parent / link).resolve().is_file(), (page.path, link)
        assert "<style" not in page.path.read_text(encoding="utf-8")
    assert "url(" not in (folder(target) / "assets" / "data-docs.css").read_text(encoding="utf-8")


def test_the_front_page_lists_the_audits(session: Session, target: DocsTarget) -> None:
    audit(session, target, key="2018-01-02")
    audit(session, target, key="2018-01-01")
    front = Page(folder(target) / "index.html")
    assert (
        front.text.index("olist silver") < front.text.rindex("2018-01-02") < front.text.rindex("2018-01-01")
    )
    assert "warned olist_orders id_is_small 3 of 5 2 commerce-data" in front.text
    assert "Published with warnings." in front.text
    assert "Failed" not in front.text


def test_what_is_worst_comes_first(session: Session, target: DocsTarget) -> None:
    fine = replace(SUBJECT, table="a_fine", expectations=SUBJECT.expectations[:1])
    broken = replace(
        SUBJECT, table="z_broken", expectations=(replace(SUBJECT.expectations[1], severity="hard"),)
    )
    run_gate(session, [fine], layer="bronze", partition_key="2018-01-01", source="olist", docs=target)
    subjects = [fine, SUBJECT, broken]
    run_gate(session, subjects, layer="silver", partition_key="2018-01-01", source="olist", docs=target)
    for page in ("index.html", "gates/olist/silver/2018-01-01.html"):
        text = Page(folder(target) / page).text
        assert (
            text.index("blocked z_broken") < text.index("warned olist_orders") < text.index("passed a_fine")
        )
        assert "Nothing was published. Broken: hard rules of z_broken" in text
    by_name = {p.path.parents[2].name: p.text for p in pages(target) if "validations" in p.path.parts}
    assert "Not published: a hard rule is broken." in by_name["z_broken"]
    assert "Not published, because z_broken blocked the whole delivery" in by_name["olist_orders"]


def test_an_audits_page_shows_rule_severity_counts_and_keys(session: Session, target: DocsTarget) -> None:
    audit(session, target)
    text = audited(target).text
    assert "olist_orders warned" in text
    assert "Published with a warning." in text
    assert "Owner commerce-data" in text
    shown = "warned id_is_small Small ids. For example id=3 , id=4 , id=5 soft id only 1, 2 3 of 5 rows none"
    assert shown in text
    assert text.index(shown) < text.index("passed has_rows There are rows. hard at least 1 row 5 rows none")


def test_a_rule_has_a_trend(session: Session, target: DocsTarget) -> None:
    session.table("few", "select 1 as id")
    audit(session, target, key="2018-01-01", subject=replace(SUBJECT, relation="few"))
    audit(session, target, key="2018-01-02")
    audit(session, target, key="2018-01-03")
    (last,) = [p for p in pages(target) if p.path.parents[1].name == "olist-silver-2018-01-03"]
    assert "broken in 1 of 2" in last.text
    assert "held in all 2" in last.text
    titles = re.findall(r'title="([^"]*)"', last.path.read_text(encoding="utf-8"))
    assert titles[:2] == ["2018-01-01: passed", "2018-01-02: warned, 3 rows"]


def test_what_comes_from_data_is_text_to_a_browser(session: Session, target: DocsTarget) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    session.table("hostile", f"select '{hostile}' as id")
    query = "select id from staged where id <> '<b>'"
    rule = Expectation("r", "soft", QUERY, {"unexpected_rows_query": query}, "<i>why</i>", query)
    audit(session, target, subject=replace(SUBJECT, relation="hostile", expectations=(rule,)))
    html = audited(target).path.read_text(encoding="utf-8")
    assert not re.search("<img|<b>|<i>", html)
    assert f"id={hostile}" in audited(target).text


@pytest.mark.parametrize(
    ("kind", "arguments", "shown"),
    [
        ("not_null", {}, "For example id=4 soft name no empty value 1 of 4 rows"),
        (
            "accepted_values",
            {"values": [7]},
            "For example id=3 soft name only 7 1 of 4 rows",
        ),
        ("range", {"maximum": 8}, "For example id=3 soft name 8 or less 1 of 4 rows"),
        ("pattern", {"pattern": "^7$"}, "For example id=3 soft name only ^7$ 1 of 4 rows"),
        ("unique", {}, "For example name=7 soft name no value twice 1 of 4 rows"),
        ("foreign_key", {"table": "names", "column": "name"}, "For example id=3 What breaks it, in SQL "),
        (
            "sql",
            {"query": "select id from staged where id = 4"},
            "For example id=4 What breaks it, in SQL select id from staged where id = 4 soft no row 1 of 4",
        ),
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
    assert f"warned r why {shown}" in audited(target).text
    assert "key_is_unique Grain: One row per id." in audited(target).text


def test_a_rule_that_could_not_be_evaluated_says_why(session: Session, target: DocsTarget) -> None:
    query = "select nope from staged"
    rule = Expectation("r", "hard", QUERY, {"unexpected_rows_query": query}, "Never.", query)
    audit(session, target, subject=replace(SUBJECT, expectations=(rule,)))
    text = audited(target).text
    assert "blocked r Never. It could not be evaluated: " in text
    assert "nope" in text
    assert "Traceback" not in text


def test_a_relation_that_is_not_there_has_a_page_too(session: Session, target: DocsTarget) -> None:
    audit(session, target, subject=replace(SUBJECT, relation="nowhere"))
    assert audited(target).text.count("It could not be evaluated") == 2


def test_old_audits_go(session: Session, target: DocsTarget) -> None:
    few = replace(target, keep=2)
    for day in range(1, 5):
        audit(session, few, key=f"2018-01-0{day}")
    shown = {p.path.parents[1].name for p in pages(few) if "validations" in p.path.parts}
    assert shown == {"olist-silver-2018-01-03", "olist-silver-2018-01-04"}
    assert {p.path.stem for p in pages(few) if "gates" in p.path.parts} == {"2018-01-03", "2018-01-04"}
    assert len(list(folder(few).rglob("results/**/*.json"))) == 2
    assert "2018-01-01" not in Page(folder(few) / "index.html").text
    assert not [path for path in folder(few).rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_another_layer_and_source_keep_their_audits(session: Session, target: DocsTarget) -> None:
    few = replace(target, keep=1)
    for layer, source in (("silver", "olist"), ("silver", "avazu"), ("gold", "olist")):
        run_gate(session, [SUBJECT], layer=layer, partition_key="2018-01-01", source=source, docs=few)
    links = Page(folder(few) / "index.html").links
    assert len({link for link in links if link.startswith("validations/")}) == 3


def listed(target: DocsTarget) -> list[str]:
    """The audits on the front page, from top to bottom; every link to one works."""
    links = [link for link in Page(folder(target) / "index.html").links if link.startswith("validations/")]
    assert all((folder(target) / link).is_file() for link in links)
    return list(dict.fromkeys(f"{link.split('/')[2]} {link.split('/')[3][-10:]}" for link in links))


def test_an_audit_of_the_same_partition_takes_the_place_of_the_last(
    session: Session, target: DocsTarget
) -> None:
    audit(session, target)
    fine = replace(SUBJECT, expectations=SUBJECT.expectations[:1])
    audit(session, target, subject=fine)
    assert listed(target) == ["olist_orders 2018-01-01"]
    assert "Published; every rule holds." in Page(folder(target) / "gates/olist/silver/2018-01-01.html").text


def test_an_audit_is_added_without_a_look_at_those_of_others(session: Session, target: DocsTarget) -> None:
    audit(session, target, subject=replace(SUBJECT, table="other"))
    (other,) = folder(target).rglob("results/**/*.json")
    other.write_text("not to be read")
    page = next(folder(target).rglob("validations/**/*.html"))
    page.write_text("not to be made again")
    audit(session, target, key="2018-01-02")
    assert listed(target) == ["olist_orders 2018-01-02", "other 2018-01-01"]
    assert page.read_text() == "not to be made again"


class Counting:
    """Pages, and how often and how much of them is read and written."""

    def __init__(self, pages: LocalPages) -> None:
        self.pages, self.calls, self.bytes = pages, 0, 0

    def read(self, name: str) -> Found | None:
        found = self.pages.read(name)
        self._count(name, len(found.data) if found else 0)
        return found

    def write(self, pages: Mapping[str, bytes]) -> None:
        for name, data in pages.items():
            self._count(name, len(data))
        self.pages.write(pages)

    def change(self, name: str, new: Callable[[bytes | None], bytes]) -> Found:
        changed = self.pages.change(name, new)
        self._count(name, len(changed.data))
        return changed

    def remove(self, names: Iterable[str]) -> None:
        self.pages.remove(names)

    def names(self, under: str = "") -> Iterator[str]:
        raise AssertionError("A gate does not list the pages.")

    def aged(self, under: str = "") -> Iterator[Aged]:
        raise AssertionError("A gate does not list the pages.")

    def _count(self, name: str, size: int) -> None:
        self.calls, self.bytes = self.calls + 1, self.bytes + size


def test_the_work_of_a_gate_does_not_grow_with_history(session: Session, target: DocsTarget) -> None:
    audit(session, target)
    costs = []
    for day in range(1, 13):
        counting = Counting(LocalPages(folder(target)))
        audit(session, replace(target, pages=counting, keep=3), key=f"2018-02-{day:02}")
        costs.append((counting.calls, counting.bytes))
    assert len({calls for calls, _ in costs[3:]}) == 1
    assert costs[-1][1] < 1.01 * costs[3][1]


@pytest.mark.parametrize("kept", [None, "{}", "not JSON"])
def test_a_list_that_is_lost_is_made_from_the_stored_results(
    session: Session, target: DocsTarget, kept: str | None
) -> None:
    audit(session, target, subject=replace(SUBJECT, table="other"))
    found = folder(target) / "audits.json"
    found.unlink() if kept is None else found.write_text(kept)
    audit(session, target, key="2018-01-02")
    assert listed(target) == ["olist_orders 2018-01-02", "other 2018-01-01"]


def test_a_suite_that_went_is_not_shown(session: Session, target: DocsTarget) -> None:
    suites = target.project / "expectations" / "silver"
    shutil.copy(suites / "olist_orders.json", suites / "gone.json")
    audit(session, target, subject=replace(SUBJECT, table="gone"))
    assert "expectations/silver/gone.html" in Page(folder(target) / "index.html").links
    (suites / "gone.json").unlink()
    audit(session, target)
    assert not (folder(target) / "expectations" / "silver" / "gone.html").exists()
    shown = [link for link in Page(folder(target) / "index.html").links if link.startswith("expectations/")]
    assert shown == ["expectations/silver/olist_orders.html"]


def test_the_rules_as_they_are_written(session: Session, target: DocsTarget) -> None:
    audit(session, target)
    text = Page(folder(target) / "expectations/silver/olist_orders.html").text
    assert "order_id_is_given order_id is required. hard order_id no empty value" in text
    assert "Owner commerce-data" in text


_OTHER_PROCESS = """
import sys
from pathlib import Path
from lakehouse.compile.rules import ROW_COUNT, Expectation
from lakehouse.contract import Column, ColumnType, Contract, Rule
from lakehouse.engine.session import open_session
from lakehouse.home.pages import Aged, LocalPages
from lakehouse.quality.docs import DocsTarget
from lakehouse.quality.gate import Subject, run_gate

folder, project, source = sys.argv[1:]
rule = Expectation("has_rows", "hard", ROW_COUNT, {"min_value": 1})
subjects = [Subject(f"t{n}", "t", ("id",), frozenset(), (rule,)) for n in range(5)]
with open_session(None) as session:
    session.table("t", "select 1 as id")
    for n in range(3):
        run_gate(session, subjects, layer="silver", partition_key=f"2018-01-0{n}", source=source,
                 docs=DocsTarget(LocalPages(Path(folder)), Path(project)))
"""


def test_gates_that_write_at_once_lose_nothing(target: DocsTarget) -> None:
    command = [sys.executable, "-c", _OTHER_PROCESS, str(folder(target)), str(target.project)]
    both = [
        subprocess.Popen([*command, source], stderr=subprocess.PIPE, text=True)
        for source in ("olist", "avazu")
    ]
    assert [process.communicate(timeout=300)[1] for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    front = Page(folder(target) / "index.html")
    audits = [link for link in front.links if link.startswith("validations/")]
    assert len(set(audits)) == 30
    assert all((folder(target) / link).is_file() for link in audits)


def test_pages_that_cannot_be_written_hold_no_data_back(
    session: Session, target: DocsTarget, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "file-not-folder"
    place.write_text("")
    audit(session, replace(target, pages=LocalPages(place)))
    assert "could not be written" in caplog.text


def test_the_pages_can_be_made_again(session: Session, target: DocsTarget) -> None:
    audit(session, target)
    audit(session, target, key="2018-01-02")
    before = {path: path.read_bytes() for path in folder(target).rglob("*") if path.suffix == ".html"}
    for path in before:
        path.unlink()
    assert target.rebuild() == 2
    assert before == {path: path.read_bytes() for path in folder(target).rglob("*") if path.suffix == ".html"}
