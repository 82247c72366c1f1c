"""`lakehouse backup` and `lakehouse restore` on a stack of its own, which is deleted in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.cli.context import open_homes
from lakehouse.contract import Project
from lakehouse.stack import laptop
from lakehouse.stack import state as memory
from lakehouse.stack.state import StackHome

from ..support.lakehouse import Lakehouse
from ..support.olist import NEXT_DAY, small_shop
from .stack_support import Notes, command, new_home

# Eight commands on a stack of its own: a minute, and many on a machine that has much else to do.
pytestmark = [pytest.mark.servers, pytest.mark.timeout(1200)]


@pytest.fixture
def home(server_folder: Path) -> Iterator[StackHome]:
    made = new_home(server_folder / "home-backed")
    yield made
    laptop.delete(made, Notes())


def lakehouse_of(home: StackHome, project: Project, folder: Path) -> Lakehouse:
    state = memory.required(home)
    return Lakehouse(open_homes(state), project, folder, landing=open_homes(state, landing=True))


def test_a_stack_that_was_deleted_comes_back_and_goes_on(
    home: StackHome, flow_project: Project, tmp_path: Path
) -> None:
    kept = str(tmp_path / "kept")
    told = command(home, "backup", kept, "--json", fails=True)
    assert "no stack" in told["error"]["message"]
    command(home, "up", "--without-airflow")
    house = lakehouse_of(home, flow_project, tmp_path / "files")
    house.load(small_shop())
    home.data_docs.mkdir()
    (home.data_docs / "index.html").write_text("a page")
    gold, served = house.checksums("gold"), house.served()
    (made,) = command(home, "backup", kept, "--keep", "2", "--json")
    assert made["object_count"] > 200
    assert command(home, "backup", kept, "--verify", "--json") == [made]
    assert command(home, "backup", kept, "--list", "--json") == [made]
    told = command(home, "restore", kept, "--json", fails=True)
    assert "is not empty: it holds 3 runs in its ledger" in told["error"]["message"]
    house.homes.engine.dispose()

    before = memory.required(home)
    command(home, "delete-everything", "--yes")
    assert not home.root.exists()
    home.create()
    memory.save(home, replace(memory.load_or_create(home), ports=before.ports))
    restored = command(home, "restore", kept, "--json")
    assert restored == {
        "backup": made["id"],
        "copied_count": made["object_count"],
        "copied_bytes": made["object_bytes"],
    }
    command(home, "up", "--without-airflow")
    assert memory.required(home).passwords != before.passwords
    assert (home.data_docs / "index.html").read_text() == "a page"

    house = lakehouse_of(home, flow_project, tmp_path / "files")
    assert house.checksums("gold") == gold
    assert house.served() == served
    events = house.load(small_shop(5), NEXT_DAY)
    assert events["gold"]["row_counts"]["fact_order"] > 0
    assert house.value("select count(*) from gold.fact_order") == 5
    house.homes.engine.dispose()
