"""Steps that can be killed, and lakehouses to compare with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS, Layer
from lakehouse.stack import postgres
from lakehouse.stack.postgres import PostgresServer
from lakehouse.stack.s3 import S3Server

from ..support.aftermath import Rows, assert_nothing_left, assert_whole, rows_of, seen
from ..support.disk import SmallDisk
from ..support.lakehouse import Lakehouse, copy_project
from ..support.mortal import MortalPostgres, MortalStore
from ..support.olist import NEXT_DAY, Delivery, small_shop
from ..support.templates import Templates
from ..support.zygote import Point, Task, Zygote


def next_delivery() -> Delivery:
    """A day with new rows, changed rows, and a row that comes twice; to come after ``small_shop()``."""
    delivery = small_shop(5).only_orders(3, 5)
    delivery.order(3)["order_status"] = "shipped"
    delivery.rows("products")[0]["product_weight_g"] = "300"
    delivery.rows("order_payments").append(dict(delivery.rows("order_payments")[0]))
    return delivery


@pytest.fixture(scope="session")
def pg_disk(server_folder: Path) -> Iterator[SmallDisk]:
    """Under Postgres; in memory, where it may be mounted."""
    with SmallDisk.mounted(server_folder / "pg", megabytes=1500) as disk:
        yield disk


@pytest.fixture(scope="session")
def store_disk(server_folder: Path) -> Iterator[SmallDisk]:
    """Under MinIO."""
    with SmallDisk.mounted(server_folder / "store", megabytes=500) as disk:
        yield disk


@pytest.fixture(scope="session")
def mortal_pg(pg_disk: SmallDisk) -> Iterator[MortalPostgres]:
    """A Postgres to be killed; a test leaves it running."""
    made = MortalPostgres.start_in(pg_disk.folder)
    # It would keep gigabytes of its log, in memory.
    settings = ["alter system set max_wal_size = '128MB'", "select pg_reload_conf()"]
    postgres.execute(made.server.superuser_dsn, settings)
    yield made
    made.server.stop()


@pytest.fixture(scope="session")
def mortal_store(store_disk: SmallDisk) -> Iterator[MortalStore]:
    """A MinIO to be killed; a test leaves it running."""
    made = MortalStore.start_in(store_disk.folder)
    yield made
    made.server.stop()


@pytest.fixture(scope="session")
def pg_server(mortal_pg: MortalPostgres) -> PostgresServer:
    """Its address and roles."""
    return mortal_pg.server


@pytest.fixture(scope="session")
def s3_server(mortal_store: MortalStore) -> S3Server:
    """Its address and keys."""
    return mortal_store.server


#: Left out: more of the same, at the price of a third of the time.
_MARTS = (
    "category_state_daily", "cohort_monthly_retention", "ctr_daily", "ctr_hourly", "customer_rfm",
    "delay_top_seller_daily", "funnel_daily", "payment_approval_daily", "payment_mix_daily", "seller_scorecard_monthly",
)  # fmt: skip


def _fewer_tables(root: Path) -> None:
    shutil.rmtree(root / "contracts/avazu")
    for mart in _MARTS:
        (root / f"contracts/gold/{mart}.yaml").unlink()
        (root / f"sql/gold/{mart}.sql").unlink()


@pytest.fixture(scope="session")
def flow_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Olist as it is, with its dimensions, its facts and one mart, copied so that nothing goes near the checkout."""
    return copy_project(tmp_path_factory.mktemp("project"), _fewer_tables)


@pytest.fixture(scope="session")
def templates(
    pg_server: PostgresServer,
    s3_server: S3Server,
    flow_project: Project,
    tmp_path_factory: pytest.TempPathFactory,
) -> Templates:
    """Lakehouses to copy."""
    return Templates(pg_server, s3_server, flow_project, tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="session")
def undisturbed(templates: Templates) -> Rows:
    """The rows of ``small_shop()`` and the next delivery, to gold, with nothing in the way."""
    with templates.loaded() as made:
        made.load(next_delivery(), NEXT_DAY)
        return rows_of(made)


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Starts steps in processes of their own."""
    made = Zygote(tmp_path_factory.mktemp("steps"))
    yield made
    made.end()


@dataclass
class Victim:
    """A lakehouse whose next day is brought to gold by processes that get into trouble."""

    lakehouse: Lakehouse
    zygote: Zygote
    scratch: Path
    before: set[str]
    #: Variables for the processes beside those of the lakehouse.
    variables: dict[str, str] = field(default_factory=dict)

    def start(self, step: str, layer: Layer, table: str = "", point: Point | None = None) -> Task:
        """Begin a step on the next day, in a process of its own."""
        arguments = ("olist", layer, NEXT_DAY, *([table] if table else []))
        return self._start(step, arguments, point)

    def land(self, delivery: Delivery, point: Point | None = None) -> Task:
        """Begin to land a delivery for the next day."""
        folder = delivery.write(self.lakehouse.folder / NEXT_DAY, self.lakehouse.project)
        return self._start("land", ("olist", str(folder), NEXT_DAY), point)

    def _start(self, step: str, arguments: tuple[str, ...], point: Point | None) -> Task:
        environment = self.lakehouse.environment() | {"TMPDIR": str(self.scratch)} | self.variables
        return self.zygote.start(step, arguments, environment, point)

    def do(self, step: str, layer: Layer, table: str = "") -> str:
        """A step to its end; what it has printed."""
        task = self.start(step, layer, table)
        assert task.wait() == 0, task.told
        return task.told

    def fails(self, step: str, layer: Layer, table: str = "") -> str:
        """A step that must fail with an error for people; what it tells."""
        task = self.start(step, layer, table)
        assert task.wait() == 3, task.told
        return task.told

    def stage(self, layer: Layer) -> None:
        """All tables of a layer."""
        self.do("stage", layer, ",".join(self.lakehouse.project.stage_order("olist", layer)))

    def layer(self, layer: Layer) -> None:
        """A layer from plan to publish."""
        self.do("plan", layer)
        self.stage(layer)
        self.do("gate", layer)
        self.do("publish", layer)

    def finish(self, step: str = "plan", layer: Layer = "bronze") -> None:
        """Everything from a step of a layer to gold."""
        steps = ("plan", "stage", "gate", "publish")
        for of in LAYERS[LAYERS.index(layer) :]:
            for one in steps[steps.index(step) if of == layer else 0 :]:
                if one == "stage":
                    self.stage(of)
                else:
                    self.do(one, of)

    def seen(self) -> dict[str, Any]:
        """What readers see, by layer."""
        return seen(self.lakehouse)

    def assert_healed(self, undisturbed: Rows) -> None:
        """The rows are those of a run without trouble, and nothing else is left of it."""
        assert_whole(self.lakehouse, undisturbed)
        assert_nothing_left(self.lakehouse, self.before, self.scratch)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Where the processes have their temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def victim(templates: Templates, zygote: Zygote, scratch: Path) -> Iterator[Victim]:
    """``small_shop()`` up to gold; the next day is landed."""
    with templates.loaded() as made:
        before = made.objects()
        made.land(next_delivery(), NEXT_DAY)
        yield Victim(made, zygote, scratch, before)
