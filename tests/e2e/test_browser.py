"""What people do in Airflow's pages, by a real browser: log in, run a day, backfill, read why a gate has warned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, expect

from lakehouse.stack import laptop

from ..support import browser as chromium
from ..support.browser import Sight, sight
from ..support.olist import small_shop
from .airflow_support import Orchestra, like, wait_for

pytestmark = [pytest.mark.servers, pytest.mark.airflow, pytest.mark.browser]

DAY = "2018-03-11"
#: A backfill's; nothing is delivered on the last.
FIRST, LAST = "2018-03-12", "2018-03-13"
LAYERS = ("bronze", "silver", "gold")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.running() as running:
        yield running


@pytest.fixture(scope="module")
def origin(orchestra: Orchestra) -> str:
    return laptop.airflow_url(orchestra.state)


@pytest.fixture(scope="module")
def screen(orchestra: Orchestra, browser: Browser, origin: str) -> Iterator[Sight]:
    """A window in which the administrator has logged in, by the form."""
    with sight(browser, origin) as seen:
        page = seen.page
        page.goto(origin)
        page.locator("input[name=username]").fill("admin")
        page.locator("input[name=password]").fill(orchestra.state.airflow_password)
        seen.keep("airflow-login", whole=False)
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Data Docs")).to_be_visible()
        yield seen


@pytest.fixture(scope="module")
def runs(orchestra: Orchestra, screen: Sight, origin: str) -> dict[str, str]:
    """A delivery that one soft rule does not hold for, run by the form; run ids by layer."""
    shop = small_shop()
    shop.rows("orders")[2]["order_delivered_customer_date"] = ""
    orchestra.lakehouse.land(shop, DAY)
    form = _form(screen, origin, "olist_bronze")
    form.locator("input[type=date]").fill(DAY)
    screen.keep("airflow-form", whole=False)
    form.get_by_role("button", name="Trigger").last.click()
    screen.page.wait_for_url(re.compile(rf"/dags/olist_bronze/runs/manual__{DAY}__"))
    return {layer: orchestra.next_ended(f"olist_{layer}", DAY)["dag_run_id"] for layer in LAYERS}


def _form(screen: Sight, origin: str, dag: str) -> Locator:
    """The form that triggers a DAG, as it opens."""
    screen.page.goto(f"{origin}/dags/{dag}")
    screen.page.get_by_role("button", name="Trigger").first.click()
    form = screen.page.get_by_role("dialog").first
    expect(form.get_by_text("Which delivery: its date.")).to_be_visible()
    return form


def test_a_trigger_without_a_day_is_told_what_to_do(orchestra: Orchestra, screen: Sight, origin: str) -> None:
    known = len(orchestra.runs("olist_bronze", None))
    form = _form(screen, origin, "olist_bronze")
    form.get_by_role("button", name="Trigger").last.click()
    said = form.get_by_text("Which day shall olist_bronze run for? Say it in the form's field Day")
    expect(said).to_be_visible()
    expect(said).to_be_in_viewport()
    screen.keep("airflow-form-without-day", whole=False)
    assert len(orchestra.runs("olist_bronze", None)) == known


def test_runs_are_listed_by_their_day(screen: Sight, origin: str, runs: dict[str, str]) -> None:
    for layer in LAYERS:
        screen.page.goto(f"{origin}/dags/olist_{layer}/runs")
        named = screen.page.get_by_role("link", name=re.compile(f"__{DAY}__"))
        expect(named.first).to_be_visible()
        screen.keep(f"airflow-runs-{layer}", whole=False)
        assert DAY in runs[layer]


def test_a_run_says_what_became_of_it(screen: Sight, origin: str, runs: dict[str, str]) -> None:
    screen.page.goto(f"{origin}/dags/olist_silver/runs/{quote(runs['silver'])}")
    expect(screen.page.get_by_text("Partition Key").first).to_be_visible()
    expect(screen.page.get_by_text(f"olist silver {DAY}").first).to_be_visible()
    expect(screen.page.get_by_text("warned", exact=True).first).to_be_visible()
    screen.keep("airflow-run", whole=False)


def test_the_log_of_a_gate_shows_which_rule_did_not_hold_and_for_which_rows(
    screen: Sight, origin: str, runs: dict[str, str]
) -> None:
    screen.page.goto(f"{origin}/dags/olist_silver/runs/{quote(runs['silver'])}/tasks/gate")
    lines = screen.page.locator("[data-testid^='virtualized-item']")
    rule = lines.filter(has_text="delivered_orders_have_a_date").first
    expect(rule).to_contain_text("WARNING")
    expect(rule).to_contain_text(re.compile(r"soft +1 of \d+ +none +silver\.olist_orders"))
    expect(lines.filter(has_text="A delivered order should say when.").first).to_be_visible()
    keys = lines.filter(has_text=re.compile("order_id=[0-9a-f]{32}")).first
    expect(keys).to_be_in_viewport()
    screen.keep("airflow-gate", whole=False)


def test_a_gate_leads_to_its_page_of_data_docs(screen: Sight, origin: str, runs: dict[str, str]) -> None:
    page = screen.page
    page.goto(f"{origin}/dags/olist_silver/runs/{quote(runs['silver'])}/tasks/gate")
    address = f"/plugin/data-docs/lakehouse/data-docs/gates/olist/silver/{DAY}.html"
    with page.expect_popup() as opened:
        page.locator(f"a[href='{origin}{address}']").first.click()
    shown = opened.value.frame_locator("iframe")
    expect(shown.get_by_text("delivered_orders_have_a_date").first).to_be_visible()
    opened.value.screenshot(path=chromium.SCREENSHOTS / "airflow-data-docs-of-gate.png")
    opened.value.close()


def test_a_stage_task_shows_its_sql(screen: Sight, origin: str, runs: dict[str, str]) -> None:
    screen.page.goto(
        f"{origin}/dags/olist_gold/runs/{quote(runs['gold'])}/tasks/stage.kpi_daily/rendered_templates"
    )
    expect(screen.page.locator("pre").filter(has_text="affected.order_date").first).to_be_visible()
    screen.keep("airflow-sql", whole=False)


def test_a_table_has_a_page_as_an_asset(
    orchestra: Orchestra, screen: Sight, origin: str, runs: dict[str, str]
) -> None:
    ids = {a["name"]: a["id"] for a in orchestra.api.pages("/assets", "assets")}
    screen.page.goto(f"{origin}/assets/{ids['olist/silver/olist_orders']}")
    page = screen.page
    expect(page.get_by_role("heading", name="olist/silver/olist_orders")).to_be_visible()
    for told in ("One row per order.", "commerce-data", f"Partition Key: {DAY}"):
        expect(page.get_by_text(told).first).to_be_visible()
    expect(
        page.locator(".react-flow__node").filter(has_text="olist/silver/olist_orders").first
    ).to_be_visible()
    screen.keep("airflow-asset", whole=False)


def test_a_day_is_run_again_by_the_form(
    orchestra: Orchestra, screen: Sight, origin: str, runs: dict[str, str]
) -> None:
    known = {layer: len(orchestra.runs(f"olist_{layer}", DAY)) for layer in LAYERS}
    form = _form(screen, origin, "olist_bronze")
    form.locator("input[type=date]").fill(DAY)
    form.locator("[data-scope=switch][data-part=control]").first.click()
    screen.keep("airflow-form-again", whole=False)
    form.get_by_role("button", name="Trigger").last.click()
    for layer in LAYERS:
        run = orchestra.next_ended(f"olist_{layer}", DAY, known[layer])["dag_run_id"]
        assert set(orchestra.states(f"olist_{layer}", run).values()) == {"success"}
    screen.page.goto(f"{origin}/dags/olist_gold")
    expect(screen.page.get_by_text("publish").first).to_be_visible()
    screen.keep("airflow-grid", whole=False)


def test_days_are_backfilled_by_the_form(orchestra: Orchestra, screen: Sight, origin: str) -> None:
    orchestra.lakehouse.land(small_shop(), FIRST)
    form = _form(screen, origin, "olist_bronze")
    form.get_by_text("Run this Dag for a range of dates").click()
    for number, day in enumerate((FIRST, LAST)):
        form.get_by_test_id("datetime-input").nth(number).click()
        asked = screen.page.locator("[data-scope=popover][data-state=open]")
        asked.get_by_placeholder("YYYY/MM/DD").fill(day.replace("-", "/"))
        asked.get_by_placeholder("HH:mm").fill("00:00")
        form.get_by_text("Date Range").first.click()
        expect(asked).to_have_count(0)
    expect(form.get_by_text("2 runs will be triggered.")).to_be_visible()
    screen.keep("airflow-backfill", whole=False)
    form.get_by_role("button", name="Run Backfill").click()
    for day in (FIRST, LAST):
        run = wait_for(partial(orchestra.runs, "olist_bronze", day), why=f"the backfill of {day}")[0]
        assert run["run_type"] == "backfill"
    for layer in LAYERS:
        orchestra.next_ended(f"olist_{layer}", FIRST)
    assert orchestra.runs("olist_silver", LAST) == []


def test_data_docs_and_the_site_are_in_the_menu(
    orchestra: Orchestra, screen: Sight, origin: str, runs: dict[str, str]
) -> None:
    orchestra.ended("lakehouse_site", orchestra.trigger("lakehouse_site", None))
    screen.page.goto(origin)
    screen.faults = []
    for entry, told in (("Data Docs", "Quality of the data"), ("Lakehouse", "Is the data good today?")):
        screen.page.get_by_role("link", name=entry, exact=True).click()
        expect(screen.page.frame_locator("iframe").get_by_text(told).first).to_be_visible()
        screen.keep(f"airflow-menu-{entry.lower().replace(' ', '-')}", whole=False)
    ours = [
        f
        for f in screen.faults
        if f.startswith("asks") or "/lakehouse/" in f or "Refused" in f or "violates" in f
    ]
    assert ours == []


@pytest.mark.parametrize("page", ["data-docs", "site"])
def test_who_has_not_logged_in_is_shown_the_login(browser: Browser, origin: str, page: str) -> None:
    with sight(browser, origin) as nobody:
        nobody.page.goto(f"{origin}/lakehouse/{page}/index.html")
        expect(nobody.page.locator("input[name=username]")).to_be_visible()
        assert "/lakehouse/" not in nobody.page.url.split("?")[0]


def test_who_may_not_see_plugins_is_refused(orchestra: Orchestra, browser: Browser, origin: str) -> None:
    with laptop.open_airflow(orchestra.state) as api, sight(browser, origin) as somebody:
        token = str(api._client.headers["Authorization"]).removeprefix("Bearer ")
        somebody.page.context.add_cookies(
            [{"name": "_token", "value": like(orchestra, token, None), "url": origin}]
        )
        somebody.page.goto(f"{origin}/lakehouse/data-docs/index.html")
        expect(somebody.page.get_by_role("heading", name="Forbidden")).to_be_visible()
        assert "Quality of the data" not in somebody.page.content()
