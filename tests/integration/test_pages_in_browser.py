"""Every page of the site and of Data Docs in a real browser: at two widths, light and dark.

Wanted of each: no error, nothing asked of any other machine, nothing that sticks out sideways, no text that is hard to
tell from its ground. Screenshots of one page of each kind are kept for people.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from sqlalchemy.engine import make_url

from lakehouse.cli.docs import serve
from lakehouse.contract import Project
from lakehouse.errors import GateFailed
from lakehouse.home.homes import open_engine
from lakehouse.home.pages import open_pages
from lakehouse.site.build import build

from ..support import browser as chromium
from ..support.browser import SCHEMES, WIDTHS, Sight, sight
from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import NEXT_DAY, ident, small_shop
from ..support.templates import Templates

pytestmark = [pytest.mark.servers, pytest.mark.browser]

#: Wide and light, narrow and dark.
SHOTS = ((1280, "light"), (390, "dark"))
BLOCKED_DAY = "2018-03-03"
#: One page of each kind, as it is called on the site.
SHOWN = (
    "index.html",
    "numbers.html",
    "quality.html",
    "catalogue.html",
    "lineage.html",
    "decisions.html",
    "runbooks.html",
    "docs.html",
    "tables/gold.kpi_daily.html",
    "tables/ods.olist_orders.html",
    "doc/SDS.html",
    "doc/docs/runbooks/gate-blocked.html",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.running() as running:
        yield running


@pytest.fixture(scope="module")
def shown(templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folders ``site`` and ``data-docs`` of a stack: days that passed and warned, and one that is blocked."""
    folder = tmp_path_factory.mktemp("shown")
    with templates.loaded() as lakehouse:
        lakehouse.project = copy_project(folder / "project", pages=True)
        lakehouse.homes = replace(lakehouse.homes, data_docs=str(folder / "data-docs"))
        _warn(lakehouse, NEXT_DAY)
        _block(lakehouse, BLOCKED_DAY)
        engine = open_engine(make_url(lakehouse.analyst_dsn), "test-browser")
        # The checkout's own documents.
        assert build(folder / "site", Project.load(), engine).failed == {}
        engine.dispose()
    yield folder


def _warn(lakehouse: Lakehouse, day: str) -> None:
    shop = small_shop(6)
    shop.rows("orders")[2]["order_delivered_customer_date"] = ""
    events = lakehouse.load(shop, day)
    assert events["silver"]["verdict"] == "warned"


def _block(lakehouse: Lakehouse, day: str) -> None:
    shop = small_shop(7)
    shop.rows("order_items")[1]["product_id"] = ident("product", 77)
    lakehouse.load(shop, day, "bronze")
    lakehouse.plan("silver", day)
    lakehouse.stage("silver", day)
    with pytest.raises(GateFailed):
        lakehouse.gate("silver", day)


def _looked_at(seen: Sight, address: str, name: str, kept: bool) -> list[str]:
    """What is wrong with a page, in every width and scheme; screenshots of it when it is to be ``kept``."""
    seen.page.goto(address)
    found = []
    for width, schemes in zip(WIDTHS, (SCHEMES, SCHEMES[::-1]), strict=True):
        for scheme in schemes:
            # Colours do not depend on the width.
            found += seen.look(width, scheme, contrast=width == WIDTHS[0])
            if kept and (width, scheme) in SHOTS:
                seen.keep(f"{name}-{width}-{scheme}")
    return found


@pytest.mark.timeout(1200)
def test_every_page_is_whole_at_any_width_and_in_the_dark(browser: Browser, shown: Path) -> None:
    """One test, because the pages take longer to make than to look at."""
    assert _faults_of_the_site(browser, shown / "site") == []
    assert _faults_of_data_docs(browser, shown / "data-docs") == []


def _faults_of_the_site(browser: Browser, site: Path) -> list[str]:
    """As `lakehouse open` shows it: files."""
    pages = sorted(str(page.relative_to(site)) for page in site.rglob("*.html"))
    shots = {*SHOWN, f"quality/olist-{BLOCKED_DAY}.html"}
    assert shots <= set(pages)
    found = []
    with sight(browser, site.as_uri()) as seen:
        for page in pages:
            name = f"site-{page.removesuffix('.html').replace('/', '-')}"
            found += _looked_at(seen, (site / page).as_uri(), name, page in shots)
    return found


def _faults_of_data_docs(browser: Browser, docs: Path) -> list[str]:
    """As `lakehouse docs` serves them."""
    pages = sorted(str(page.relative_to(docs)) for page in docs.rglob("*.html"))
    tables = [page for page in pages if f"silver/olist_orders/olist-silver-{NEXT_DAY}/" in page]
    shots = {"index.html": "index", f"gates/olist/silver/{BLOCKED_DAY}.html": "gate", tables[0]: "table"}
    assert set(shots) <= set(pages)
    found = []
    server = serve(open_pages(docs), 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    origin = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with sight(browser, origin) as seen:
            for page in pages:
                name = f"data-docs-{shots.get(page)}"
                found += _looked_at(seen, f"{origin}/{page}", name, page in shots)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    return found
