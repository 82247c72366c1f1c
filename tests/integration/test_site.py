"""The site over a loaded lakehouse: what its pages say, that their links resolve, that nothing closed is on them."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from lakehouse.contract import Project
from lakehouse.errors import GateFailed
from lakehouse.home.homes import open_engine
from lakehouse.home.pages import open_pages
from lakehouse.site.build import build, is_current

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, ident, small_shop

pytestmark = pytest.mark.servers


@pytest.fixture
def analyst(loaded: Lakehouse) -> Iterator[Engine]:
    engine = open_engine(make_url(loaded.analyst_dsn), "test-site")
    yield engine
    engine.dispose()


def _built(project: Project, analyst: Engine, folder: Path) -> Path:
    """A site; its folder."""
    assert build(folder / "site", project, analyst).failed == {}
    return folder / "site"


class _Links(HTMLParser):
    """Where a page points to, and what can be pointed to on it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            if name == "id" and value:
                self.anchors.add(value)


def _read(page: Path) -> _Links:
    found = _Links()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_the_pages_say_what_is_published(loaded: Lakehouse, analyst: Engine, tmp_path: Path) -> None:
    built = build(tmp_path / "site", loaded.project, analyst)
    assert built.failed == {}
    site = tmp_path / "site"
    front = (site / "index.html").read_text(encoding="utf-8")
    assert "The data is good" in front and DAY in front
    orders = loaded.value("select sum(order_count)::bigint from gold.kpi_daily")
    assert f'<span class="value">{orders}</span>' in front
    numbers = (site / "numbers.html").read_text(encoding="utf-8")
    assert "could not be drawn" not in numbers and "Payments by month" in numbers
    page = (site / "tables" / "gold.fact_order.html").read_text(encoding="utf-8")
    rows = loaded.value("select count(*) from gold.fact_order")
    assert f"<dt>Rows</dt><dd>{rows}</dd>" in page


def test_the_rows_it_tells_are_those_that_are_there(
    loaded: Lakehouse, analyst: Engine, tmp_path: Path
) -> None:
    loaded.load(small_shop(5).only_orders(4, 5), NEXT_DAY)
    site = _built(loaded.project, analyst, tmp_path)
    for page in sorted((site / "tables").glob("*.html")):
        told = re.search(r"<dt>Rows</dt><dd>([\d,]+)</dd>", page.read_text(encoding="utf-8"))
        if told:
            assert int(told[1].replace(",", "")) == loaded.value(f"select count(*) from {page.stem}"), (
                page.stem
            )


def test_every_link_within_the_site_resolves_and_none_asks_another_machine(
    loaded: Lakehouse, analyst: Engine, tmp_path: Path
) -> None:
    # The checkout's own documents, with all their links to each other.
    site = _built(Project.load(), analyst, tmp_path)
    pages = {page: _read(page) for page in site.rglob("*.html")}
    assert len(pages) > 60
    for page, found in pages.items():
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'<(script|link|img|iframe)[^>]*(src|href)="(https?:)?//', text), page
        for link in found.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.is_relative_to(site.resolve()) and target.is_file(), f"{page.name}: {link}"
            if anchor and target.name != "lineage.html":
                assert anchor in pages[target].anchors, f"{page.relative_to(site)}: {link}"


def test_what_a_gate_has_blocked_is_the_first_thing_one_reads(
    loaded: Lakehouse, analyst: Engine, tmp_path: Path
) -> None:
    site = _built(loaded.project, analyst, tmp_path)
    assert is_current(site, loaded.project, analyst)
    broken = small_shop(5).only_orders(5)
    broken.rows("order_items")[1]["product_id"] = ident("product", 77)
    loaded.load(broken, NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    loaded.stage("silver", NEXT_DAY)
    with pytest.raises(GateFailed):
        loaded.gate("silver", NEXT_DAY)
    assert not is_current(site, loaded.project, analyst)
    built = build(site, loaded.project, analyst)
    front = (site / "index.html").read_text(encoding="utf-8")
    assert f"olist silver of {NEXT_DAY} is blocked" in front
    day = (site / f"quality/olist-{NEXT_DAY}.html").read_text(encoding="utf-8")
    assert "product_id_exists_in_olist_products" in re.sub("<wbr>", "", day)
    assert ident("order", 5) in day
    # What the other day's page says has not changed.
    assert f"quality/olist-{DAY}.html" in built.kept


def test_a_second_build_writes_nothing_and_is_cheap(
    loaded: Lakehouse, analyst: Engine, tmp_path: Path
) -> None:
    build(tmp_path / "site", loaded.project, analyst)
    began = time.process_time()
    again = build(tmp_path / "site", loaded.project, analyst)
    assert again.written == () and again.failed == {}
    assert time.process_time() - began < 3


def test_no_page_holds_a_personal_value(loaded: Lakehouse, analyst: Engine, tmp_path: Path) -> None:
    personal = [
        (f"{schema}.{t.table}", column)
        for schema, tables in (("ods", loaded.project.silver), ("gold", loaded.project.gold))
        for t in tables.values()
        for column in t.personal
    ]
    assert personal
    values = {
        str(row[0])
        for relation, column in personal
        for row in loaded.query(f"select distinct {column} from {relation} where {column} is not null")
    }
    values = {v for v in values if len(v) > 4}
    site = _built(loaded.project, analyst, tmp_path)
    for page in [*site.rglob("*.html"), *site.rglob("search-index.js")]:
        text = page.read_text(encoding="utf-8")
        assert not [v for v in values if v in text], page


def test_it_is_not_built_by_a_role_that_sees_more_than_readers(loaded: Lakehouse, tmp_path: Path) -> None:
    built = build(tmp_path / "site", loaded.project, loaded.homes.engine)
    assert "the data" in built.failed
    assert not ((tmp_path / "site") / "numbers.html").exists()
    assert ((tmp_path / "site") / "docs.html").exists()


def test_a_chart_that_fails_hurts_no_other(loaded: Lakehouse, analyst: Engine, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(loaded.project.root, root)
    (root / "sql/site/20-payments-by-month.sql").write_text(
        "-- title: Broken\n-- text: x\n-- kind: bars\nselect customer_city as x, 1/0 as y from gold.dim_customer\n"
    )
    built = build(tmp_path / "site", Project.load(root), analyst)
    assert built.failed == {}
    numbers = ((tmp_path / "site") / "numbers.html").read_text(encoding="utf-8")
    assert numbers.count("could not be drawn") == 1
    assert "Orders by month" in numbers


def test_hostile_names_and_values_are_shown_as_text(
    loaded: Lakehouse, analyst: Engine, tmp_path: Path
) -> None:
    hostile = "</script><img src=x onerror=alert(1)>'\""
    loaded.execute(
        "update ops.quality_result set passed = false, failed_rows = 1, description = :h, sample_keys = array[:h], "
        "rule = :h where quality_result_id = (select max(quality_result_id) from ops.quality_result q "
        "join ops.publish p using (run_id, table_name) where p.is_current)",
        h=hostile,
    )
    root = tmp_path / "project"
    shutil.copytree(loaded.project.root, root)
    contract = root / "contracts/gold/kpi_daily.yaml"
    contract.write_text(
        contract.read_text().replace("description: Orders placed.", 'description: "</script><img src=x>"')
    )
    (root / "sql/site/99-hostile.sql").write_text(
        "-- title: <img src=x>\n-- kind: funnel\n"
        "select '</script><img src=x>' as x, 1 as y from gold.kpi_daily limit 1\n"
    )
    built = build(tmp_path / "site", Project.load(root), analyst)
    assert built.failed == {}
    for page in (tmp_path / "site").rglob("*.html"):
        assert "<img src=x" not in page.read_text(encoding="utf-8"), page


def test_a_warehouse_that_does_not_answer_leaves_the_pages_as_they_were(
    loaded: Lakehouse, analyst: Engine, tmp_path: Path
) -> None:
    site = _built(loaded.project, analyst, tmp_path)
    before = (site / "index.html").read_text(encoding="utf-8")
    nobody = open_engine(make_url("postgresql://nobody:nothing@127.0.0.1:1/none"), "test-site")
    built = build(site, loaded.project, nobody)
    assert built.failed == {"the data": "OperationalError"}
    assert (site / "index.html").read_text(encoding="utf-8") == before


def test_the_site_can_be_kept_on_s3(loaded: Lakehouse, analyst: Engine) -> None:
    place = f"s3://{loaded.homes.bucket}/site"
    built = build(place, loaded.project, analyst, loaded.homes.s3)
    assert built.failed == {}
    front = open_pages(place, loaded.homes.s3).read("index.html")
    assert front and b"The data is good" in front.data
    assert is_current(place, loaded.project, analyst, loaded.homes.s3)
    assert build(place, loaded.project, analyst, loaded.homes.s3).written == ()
