"""A person is erased from all that is stored, sums and counts stay, and no old delivery brings the person back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from lakehouse.cli.main import app
from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS
from lakehouse.errors import GateFailed, LakehouseError
from lakehouse.home import warehouse
from lakehouse.landing.deliver import land
from lakehouse.landing.withdraw import withdraw
from lakehouse.layer import erasure, turns
from lakehouse.layer.erasure import Outcome, Request
from lakehouse.stack.postgres import PostgresServer
from lakehouse.stack.s3 import S3Server

from ..conftest import fresh_homes
from ..support.everywhere import places_with
from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import DAY, NEXT_DAY, Delivery, ident, small_shop
from .test_invariant_homes_agree import assert_homes_agree

pytestmark = pytest.mark.servers

#: Of orders 1 and 5.
PERSON = ident("person", 1)
LATE, BLOCKED = "2018-02-28", "2018-03-04"
TOTALS = {
    "orders": "select count(*), count(distinct customer_id), sum(payment_brl), sum(item_price_brl) "
    "from gold.fact_order",
    "persons": "select count(distinct customer_unique_id), count(*) from gold.customer_rfm",
    "person of orders": "select count(distinct customer_unique_id) from gold.fact_order",
    "days": "select count(*), sum(order_count), sum(payment_brl) from gold.kpi_daily",
    "states": "select array_agg(t order by t::text)::text from gold.category_state_daily as t",
    "reviews": "select count(*), sum(review_score) from ods.olist_order_reviews",
    "customers": "select count(*), count(distinct customer_unique_id) from ods.olist_customers",
    "raw": "select (select count(*) from raw.olist_customers), (select count(*) from raw.olist_order_reviews)",
    "accounted": "select b.table_name, b.partition_key, read_rows, published_rows, quarantined_rows "
    "from ops.batch as b inner join ops.accounted as a "
    "on a.batch_id = b.batch_id and a.publish_id = b.silver_publish_id "
    "where b.superseded_by is null and read_rows > 0 order by 1, 2",
}


def _lenient(root: Path) -> None:
    """A tiny delivery with one refused row has refused a quarter."""
    for path in (root / "contracts" / "olist").glob("*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if "quarantineTolerance" not in line]
        path.write_text("\n".join([*kept, "  - {property: quarantineTolerance, value: 0.5}"]) + "\n")


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("lenient"), _lenient)


@pytest.fixture
def shop(alone: Lakehouse, lenient: Project) -> Lakehouse:
    alone.project = lenient
    return alone


def _request(lakehouse: Lakehouse, person: str = PERSON, **more: Any) -> Request:
    given: dict[str, Any] = {"is_alive": lambda _layer, _run: False} | more
    return Request(lakehouse.homes, lakehouse.homes, lakehouse.project, "olist", person, **given)


def _erase(lakehouse: Lakehouse, **more: Any) -> Outcome:
    return erasure.erase(_request(lakehouse, **more))


def _totals(lakehouse: Lakehouse) -> dict[str, Any]:
    return {name: lakehouse.query(query) for name, query in TOTALS.items()}


def _of_person(shop: Delivery, *orders: int) -> Delivery:
    """Some orders with their customers and reviews, and nothing that changes of all else."""
    part = shop.only_orders(*orders)
    customers = {row["customer_id"] for row in part.rows("orders")}
    part.tables["customers"] = [r for r in part.rows("customers") if r["customer_id"] in customers]
    return part


def _land_packed(lakehouse: Lakehouse, delivery: Delivery, day: str) -> None:
    """The reviews come compressed."""
    folder = delivery.write(lakehouse.folder / f"packed-{day}", lakehouse.project)
    plain = folder / "olist_order_reviews_dataset.csv"
    plain.with_suffix(".csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    land(lakehouse.homes, lakehouse.project, "olist", folder, day, allow_shrink=True)


def _landed(lakehouse: Lakehouse, name: str) -> list[bytes]:
    client, bucket = lakehouse.homes.s3_client(), lakehouse.homes.bucket
    keys = [
        o["Key"]
        for o in client.list_objects_v2(Bucket=bucket, Prefix="landing/")["Contents"]
        if name in o["Key"]
    ]
    return [client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]


def _story(lakehouse: Lakehouse) -> None:
    """Superseded bytes, compressed files, a withdrawn delivery, a refused row and a blocked run: all of the person."""
    shop = small_shop(5)
    moved = shop.copy()
    moved.rows("customers")[0]["customer_city"] = "diadema of before"
    later = _of_person(shop, 3, 5)
    later.rows("order_reviews").append(
        {**later.rows("order_reviews")[1], "review_score": "9", "review_comment_message": "refused words"}
    )
    for delivery, day in ((moved, DAY), (shop, DAY), (later, NEXT_DAY), (_of_person(shop, 1), "2018-03-03")):
        _land_packed(lakehouse, delivery, day)
        lakehouse.run_layer("bronze", day)
    withdraw(lakehouse.homes, lakehouse.project, "olist", "2018-03-03")
    for layer in LAYERS:
        lakehouse.run_layer(layer, "2018-03-03")
    wrong = _of_person(shop, 1)
    wrong.rows("orders")[0]["order_approved_at"] = "2018-01-01 00:00:00"
    wrong.rows("customers")[0]["customer_zip_code_prefix"] = "123"
    with pytest.raises(GateFailed):
        lakehouse.load(wrong, BLOCKED, "silver")


def test_nothing_of_the_person_is_left_and_all_sums_stay(shop: Lakehouse) -> None:
    """The person is looked for in every object and in a dump of the database, by other code than the command's."""
    _story(shop)
    other = ident("person", 2)
    key = shop.value(
        "select customer_key from gold.dim_customer where customer_unique_id = :p limit 1", p=PERSON
    )
    words = "pedido 1 "
    assert all(
        places_with(shop.homes, said) for said in (PERSON, "diadema of before", words, "refused words")
    )
    before, others = (
        _totals(shop),
        shop.query("select * from ods.olist_customers where customer_unique_id = :p", p=other),
    )
    manifest_of_before = shop.query("select batch_id, source_key, source_hash from ops.batch order by 1")
    shop.execute(
        "update ops.quality_result set sample_keys = array[:k] where rule = :r",
        k=f"customer_unique_id={PERSON}",
        r="agreement",
    )
    shop.execute("update ops.run set message = :m where run_id = 1", m=f"customer_key={key}")

    done = _erase(shop, reference="DPO-17")

    for said in (PERSON, key, "diadema of before", words, "pedido 5 ", "refused words"):
        assert places_with(shop.homes, said) == []
    assert _totals(shop) == before
    assert places_with(shop.homes, "pedido 3 "), "the texts of others stay"
    assert shop.query("select * from ods.olist_customers where customer_unique_id = :p", p=other) == others
    assert (
        shop.query("select batch_id, source_key, source_hash from ops.batch order by 1") == manifest_of_before
    )
    assert assert_homes_agree(shop) > 0
    assert shop.query(
        "select distinct zip_code_prefix, city from gold.dim_customer where city = 'erased'"
    ) == [("00000", "erased")]
    assert (
        shop.value(
            "select record->>'review_comment_message' from ops.quarantine where table_name like '%reviews'"
        )
        == ""
    )
    assert shop.query("select partition_key::text, status from ops.open_partition") == [(BLOCKED, "blocked")]
    assert done.touched["raw.olist_customers"] == 7
    assert shop.query("select source, reference, finished_at is not null, reruns from ops.erasure") == [
        ("olist", "DPO-17", True, {"bronze": [], "silver": [BLOCKED], "gold": []})
    ]
    again = _erase(shop)
    assert not any(n for place, n in again.touched.items() if place != "lake objects")
    assert _totals(shop) == before


def test_old_late_and_new_deliveries_do_not_bring_the_person_back(shop: Lakehouse) -> None:
    delivered = small_shop(5)
    shop.load(delivered)
    _erase(shop)
    pseudonym = shop.value("select customer_unique_id from ods.olist_customers where city = 'erased' limit 1")
    before, snapshots = shop.checksums("gold"), shop.snapshots("silver")

    shop.load(delivered)  # the same bytes: the same batches, which are served
    assert (shop.checksums("gold"), shop.snapshots("silver")) == (before, snapshots)
    superseding = delivered.copy()
    superseding.rows("customers")[0]["customer_city"] = "santos"
    superseding.rows("order_reviews")[0]["review_comment_message"] = "said again"
    shop.load(superseding)
    assert shop.checksums("gold") == before
    late = _of_person(small_shop(6), 6)  # an order that nobody knew, by the person, with its review
    late.rows("customers")[0]["customer_unique_id"] = PERSON
    shop.load(late, LATE)
    more = _of_person(small_shop(6), 6)
    more.tables["customers"] = []
    more.rows("order_reviews")[0]["review_comment_message"] = "a review of its own"
    shop.load(more, NEXT_DAY)

    assert shop.query(
        "select distinct customer_unique_id from ods.olist_customers where city = 'erased'"
    ) == [(pseudonym,)]
    assert (
        shop.value("select order_count from gold.customer_rfm where customer_unique_id = :p", p=pseudonym)
        == 3
    )
    assert (
        shop.value("select count(*) from ods.olist_order_reviews where review_comment_message is not null")
        == 2
    )
    left = set(places_with(shop.homes, PERSON))
    assert left and all(place.startswith("landing/") for place in left)
    _erase(shop)
    for said in (PERSON, "said again", "a review of its own", "pedido 6 "):
        assert places_with(shop.homes, said) == []


class Killed(BaseException):
    """What a test does to a process."""


def _killed_at(name: str) -> Callable[[str], Any]:
    @contextmanager
    def step(at: str) -> Iterator[Callable[[str], None]]:
        if at == name:
            raise Killed
        yield lambda _detail: None

    return step


KILL = """
import os, signal, sys
from lakehouse.contract import Project
from lakehouse.home.homes import Homes
from lakehouse.layer import erasure, flow
from lakehouse.landing import take_out

def kill(*_arguments, **_more):
    os.kill(os.getpid(), signal.SIGKILL)

where, number = sys.argv[1], int(sys.argv[2])
module = {"flow": flow, "take_out": take_out}[where.split(".")[0]]
name, calls = where.split(".")[1], iter(range(99))
plain = getattr(module, name)
setattr(module, name, lambda *a, **m: kill() if next(calls) == number else plain(*a, **m))
homes = Homes.open()
erasure.erase(erasure.Request(homes, homes, Project.load(), "olist", sys.argv[3], is_alive=lambda *_: False))
"""


#: Before a manifest names a rewritten file; before bronze is published; after that; in the COMMIT of gold.
KILLS = (("take_out.write_manifest", 0), ("flow.publish", 0), ("flow.gate", 1), ("flow.mark_published", 9))
#: Nothing was written in them that another call could find half done.
STEPS = ("ledger and pages", "past states", "search")


def test_copies_of_lake_files_on_this_machine_go_too(
    shop: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("LAKEHOUSE_CACHE_FOLDER", str(cache))
    shop.load(small_shop(), DAY)
    kept = set(cache.glob("??/*"))
    assert kept
    # The command's process has no cache of its own.
    monkeypatch.delenv("LAKEHOUSE_CACHE_FOLDER")
    _erase(shop, caches=[cache])
    assert not cache.exists()


def test_killed_anywhere_the_same_command_goes_on(
    shop: Lakehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`kill -9` of a real process at the places where two things are written one after the other."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what a killed process leaves
    shop.load(small_shop(5))
    before = _totals(shop)
    for where, number in KILLS:
        killed = shop.process(KILL, where, str(number), PERSON)
        assert killed.returncode == -9, (where, killed.stderr)
        # What waits for silver is not accounted for there meanwhile.
        assert _totals(shop) | {"accounted": 0} == before | {"accounted": 0}, where
        assert shop.query("select * from ops.erasure where finished_at is not null") == []
    for name in STEPS:
        with pytest.raises(Killed):
            _erase(shop, step=_killed_at(name))
    done = _erase(shop)
    assert places_with(shop.homes, PERSON) == []
    assert _totals(shop) == before
    assert (done.erasure_id, done.touched["raw.olist_customers"]) == (1, 2)


def test_it_does_not_matter_between_which_deliveries_somebody_is_erased(
    pg_server: PostgresServer, s3_server: S3Server, lenient: Project, tmp_path: Path
) -> None:
    """Invariant 11, with an erasure: first, in the middle, or when all has come at once."""
    delivered = small_shop(5)
    changed = _of_person(delivered, 1, 3)
    changed.rows("customers")[0]["customer_city"] = "santos"
    stories = [(DAY, delivered), (NEXT_DAY, changed), ("2018-03-03", _of_person(delivered, 5))]
    seen = []
    for number, erased_after in enumerate((0, 1, 2)):
        with fresh_homes(pg_server, s3_server) as homes:
            lakehouse = Lakehouse(homes, lenient, tmp_path / str(number))
            warehouse.prepare(homes, lenient)
            lakehouse.execute("insert into ops.erasure_key (secret_key) values (:k)", k=b"k" * 32)
            for day, delivery in stories:
                lakehouse.land(delivery, day)
            for at, (day, _) in enumerate(stories):
                lakehouse.run_layer("bronze", day)
                if erased_after == 1 or at == len(stories) - 1:
                    lakehouse.run_layer("silver", day)
                    lakehouse.run_layer("gold", day)
                if at == erased_after:
                    _erase(lakehouse)
            seen.append((lakehouse.checksums("silver"), lakehouse.checksums("gold")))
    assert seen[0] == seen[1] == seen[2]


def test_nobody_is_erased_while_a_run_is_at_work_and_none_begins_meanwhile(lakehouse: Lakehouse) -> None:
    with lakehouse.homes.engine.begin() as conn:
        assert turns.ask_for_turn(conn, "olist", "silver", "run-1", DAY, lambda _run: True) == []
    ledger = lakehouse.ledger()
    with pytest.raises(LakehouseError, match="olist_silver is at work"):
        _erase(lakehouse, is_alive=lambda layer, run: (layer, run) == ("silver", "run-1"))
    assert lakehouse.ledger() == ledger
    with warehouse.holding(lakehouse.homes.engine, "olist", turns.ERASURE) as alone:
        assert alone
        with lakehouse.homes.engine.begin() as conn:
            assert turns.ask_for_turn(conn, "olist", "gold", "run-2", DAY, lambda _run: True)
        with pytest.raises(LakehouseError, match="already"):
            _erase(lakehouse)
    with lakehouse.homes.engine.begin() as conn:
        assert turns.ask_for_turn(conn, "olist", "gold", "run-2", DAY, lambda _run: True) == []


def test_a_look_counts_and_changes_nothing(shop: Lakehouse) -> None:
    shop.load(small_shop(5))
    ledger, objects = shop.ledger(), shop.objects()
    found = erasure.look(_request(shop)).touched
    assert {place: n for place, n in found.items() if n} == {
        "raw.olist_customers": 2,
        "raw.olist_order_reviews": 2,
        "ods.olist_customers": 2,
        "gold.customer_rfm": 1,
        "gold.dim_customer": 1,
        "gold.fact_order": 2,
        "landing files": 2,
        "landing records": 4,
    }
    assert (shop.ledger(), shop.objects()) == (ledger, objects)
    nobody = _request(shop, person=ident("person", 99))
    assert erasure.look(nobody).is_nothing
    with pytest.raises(LakehouseError, match="Nothing in olist is about that person"):
        erasure.erase(nobody)
    with pytest.raises(LakehouseError, match="shorter"):
        erasure.look(replace(nobody, person="short"))
    assert shop.ledger() == ledger


def test_the_command_reads_the_id_from_standard_input_and_shows_it_nowhere(
    shop: Lakehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shop.load(small_shop(5))
    for name, value in shop.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    page = tmp_path / "data-docs" / "validations" / "one.html"
    page.parent.mkdir(parents=True)
    page.write_text(f"<p>customer_unique_id={PERSON}</p>", encoding="utf-8")

    def erase(*arguments: str) -> tuple[int, dict[str, Any]]:
        command = ["erase", "olist", "--customer-unique-id", "-", "--json", *arguments]
        done = CliRunner().invoke(app, command, input=f"{PERSON}\n")
        assert PERSON not in done.stdout + done.stderr
        return done.exit_code, json.loads(done.stdout)

    assert erase("--reference", f"of {PERSON}")[1]["error"]["hint"] == "Name the request, not the person."
    code, planned = erase()
    assert (code, planned["applied"], planned["touched"]["raw.olist_customers"]) == (0, False, 2)
    assert PERSON in page.read_text(encoding="utf-8")
    code, done = erase("--apply", "--reference", "DPO-17")
    assert (code, done["applied"], done["touched"]["pages"], done["warnings"]) == (0, True, 1, [])
    assert PERSON not in page.read_text(encoding="utf-8")
    assert shop.query("select reference from ops.erasure where finished_at is not null") == [("DPO-17",)]


def test_only_the_loader_can_tell_whether_somebody_is_on_the_list(lakehouse: Lakehouse) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ProgrammingError

    engine = create_engine(lakehouse.analyst_dsn.replace("postgresql://", "postgresql+psycopg2://"))
    for table in ("erased", "erasure_key", "erasure"):
        with engine.connect() as conn, pytest.raises(ProgrammingError, match="permission denied"):
            conn.execute(text(f"select * from ops.{table}"))
    engine.dispose()
