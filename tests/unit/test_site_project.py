"""What the site says of the project: lineage, catalogue, documents, charts. From files alone, no server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lakehouse.compile.lineage import column_lineage, table_lineage
from lakehouse.contract import Project
from lakehouse.contract.model import PARTITION_COLUMN
from lakehouse.errors import LakehouseError
from lakehouse.home.pages import LocalPages
from lakehouse.site import charts, documents, project_pages, words
from lakehouse.site.builder import Builder, Page
from lakehouse.site.catalogue import Catalogue, drawn
from lakehouse.site.documents import Document, render

PROJECT = Project.load()
CATALOGUE = Catalogue.of(PROJECT)
HOSTILE = "<script>alert(1)</script>\"'&`"


def test_the_lineage_leads_from_every_file_to_its_marts() -> None:
    lineage = table_lineage(PROJECT, "olist")
    edges = set(lineage.edges)
    assert {
        ("file.olist_orders", "bronze.olist_orders"),
        ("bronze.olist_orders", "silver.olist_orders"),
        ("bronze.olist_sellers", "silver.olist_sellers_history"),
        ("silver.olist_orders", "gold.fact_order"),
        ("gold.fact_order", "gold.kpi_daily"),
    } <= edges
    keys = {n.key for n in lineage.nodes}
    assert {key for edge in edges for key in edge} <= keys
    assert {n.table for n in lineage.nodes if n.stage == "gold"} == {m.table for m in PROJECT.models("olist")}


def test_a_column_is_followed_through_the_queries_back_to_the_file() -> None:
    columns, unknown = column_lineage(PROJECT)
    assert unknown == {}
    assert columns["gold.kpi_daily"]["payment_brl"] == ("gold.fact_order.payment_brl",)
    assert columns["gold.fact_order"]["payment_brl"] == ("ods.olist_order_payments.payment_brl",)
    assert columns["ods.olist_order_payments"]["payment_brl"] == (
        "olist_order_payments_dataset.csv: payment_value",
    )
    # A count of rows is made of no column.
    assert columns["gold.kpi_daily"]["order_count"] == ()


def test_every_column_that_a_query_is_made_of_exists() -> None:
    columns, _ = column_lineage(PROJECT)
    for made_of in columns.values():
        for origin in (o for origins in made_of.values() for o in origins if ": " not in o):
            relation, _, column = origin.rpartition(".")
            assert column in columns[relation] or column in ("_batch_id", PARTITION_COLUMN), origin


def test_the_catalogue_has_every_table_column_and_rule() -> None:
    expected = {f"ods.{t}" for t in PROJECT.silver} | {f"gold.{t}" for t in PROJECT.gold}
    assert set(CATALOGUE.tables) == expected
    found = {(kind, name) for name, kind, _, _ in CATALOGUE.search_index()}
    for table in CATALOGUE.tables.values():
        assert ("table", table.name) in found
        assert {("column", f"{table.name}.{c.name}") for c in table.contract.columns} <= found
        assert {("rule", r.name) for r in table.contract.rules} <= found


@pytest.mark.parametrize("source", PROJECT.sources)
def test_no_two_tables_are_drawn_in_one_place_and_all_arrows_point_right(source: str) -> None:
    lineage = table_lineage(PROJECT, source)
    placed = {p.key: p for p in drawn(lineage)}
    assert set(placed) == {n.key for n in lineage.nodes}
    assert len({(p.column, p.row) for p in placed.values()}) == len(placed)
    assert all(placed[a].column < placed[b].column for a, b in lineage.edges)


def _html(text: str) -> str:
    return render(Document("docs/x.md", text), {"docs/y.md": "doc/docs/y.html"}.get).html


def test_a_document_cannot_run_scripts_at_its_readers() -> None:
    shown = _html(
        f"# {HOSTILE}\n\n{HOSTILE}\n\n[x](javascript:alert(1))\n\n```\n{HOSTILE}\n```\n\n<b>bold</b>\n"
    )
    assert "<script" not in shown
    assert "<b>" not in shown
    assert 'href="javascript' not in shown


def test_links_between_documents_become_links_between_pages() -> None:
    shown = _html("[a](y.md#part) [b](missing.md) [c](https://example.org/x) [d](#here)")
    assert 'href="y.html#part"' in shown
    assert 'title="docs/missing.md"' in shown and 'href="missing' not in shown
    assert re.search(r'href="https://example.org/x" rel="noreferrer noopener"', shown)
    assert 'href="#here"' in shown


def test_a_heading_has_the_anchor_that_forges_give_it() -> None:
    rendered = render(
        Document("x.md", "# A\n\n## Why `one` COMMIT?\n\n## Why `one` COMMIT?\n"), lambda _: None
    )
    assert rendered.toc == (("why-one-commit", "Why one COMMIT?"), ("why-one-commit-1", "Why one COMMIT?"))


def test_every_document_and_list_is_built_and_their_links_lead_somewhere(tmp_path: Path) -> None:
    found = documents.find(PROJECT.root)
    builder = Builder(LocalPages(tmp_path))
    for pages in project_pages.groups(PROJECT, CATALOGUE, found).values():
        for page in pages():
            builder.add(page)
    builder.finish("mark")
    assert builder.failed == {}
    assert {d.page for d in found.values()} <= set(builder.written)
    decisions = (tmp_path / "decisions.html").read_text(encoding="utf-8")
    assert all(d.page in decisions for d in found.values() if re.search(r"adr/\d", d.path))
    assert "superseded by 0012" in decisions


def test_a_page_that_cannot_be_made_says_so_and_stops_no_other(tmp_path: Path) -> None:
    def fails() -> dict[str, object]:
        raise ValueError("customer@example.org")

    builder = Builder(LocalPages(tmp_path))
    builder.add(Page("a.html", "failed.html", "a.html", 1, fails))
    builder.add(Page("b.html", "failed.html", "b.html", 1, dict))
    # Only the kind of error: its text may quote a value.
    assert builder.failed == {"a.html": "ValueError"}
    assert builder.written == ["b.html"]
    builder.finish("mark")
    assert "could not be built" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert Builder(LocalPages(tmp_path)).manifest[""] == ""


def test_a_page_is_made_again_only_when_its_inputs_change(tmp_path: Path) -> None:
    for depends, written in ((1, ["a.html"]), (1, []), (2, ["a.html"])):
        builder = Builder(LocalPages(tmp_path))
        builder.add(Page("a.html", "failed.html", "a.html", depends, dict))
        builder.finish("mark")
        assert builder.written == written
    Builder(LocalPages(tmp_path)).finish("mark")
    assert not (tmp_path / "a.html").exists()


def test_every_chart_reads_tables_that_exist_and_has_words() -> None:
    files = sorted((PROJECT.root / "sql" / "site").glob("*.sql"))
    found = charts.find(PROJECT)
    assert [c.name for c in found] == [f.stem for f in files]
    assert {c.page for c in found} == {"today", "numbers"}
    assert all(c.text and c.reads for c in found)


@pytest.mark.parametrize("text", ["-- kind: bars\nselect 1", "-- title: x\n-- kind: pie\nselect 1"])
def test_a_chart_that_is_not_described_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.sql").write_text(text)
    with pytest.raises(LakehouseError, match=r"sql/site/odd\.sql"):
        charts.read(tmp_path / "odd.sql")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (999, "999"),
        (12_345, "12.3 k"),
        (16_008_872.12, "16.0 M"),
        (4.256, "4.26"),
        (1_234, "1,234"),
    ],
)
def test_numbers_are_short(value: float, said: str) -> None:
    assert words.short(value) == said


def test_names_are_broken_where_people_would_and_stay_text() -> None:
    assert words.breakable("a_b.c") == "a_<wbr>b.<wbr>c"
    assert "<script" not in words.breakable(HOSTILE)
    assert "<script" not in words.verdict(HOSTILE)
