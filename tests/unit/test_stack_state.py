"""Ports, secrets, configuration and MinIO's resolution, without starting a server."""

from __future__ import annotations

import configparser
import shlex
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.cli.context import export_lines
from lakehouse.errors import StackError
from lakehouse.stack import airflow, minio
from lakehouse.stack import state as memory
from lakehouse.stack.claims import claim_ports
from lakehouse.stack.network import LOOPBACK, any_free_port, next_free_port
from lakehouse.stack.state import StackHome
from lakehouse.stack.supervisor import Program, render


@pytest.fixture
def home(tmp_path: Path) -> StackHome:
    made = StackHome(tmp_path / "a home with 100% odd name")
    made.create()
    return made


def test_next_free_port_passes_over_busy_and_taken_ones() -> None:
    with socket.socket() as squatter:
        squatter.bind((LOOPBACK, 0))
        squatter.listen()
        busy = squatter.getsockname()[1]
        found = next_free_port(busy)
        assert found > busy
        assert next_free_port(busy, frozenset({found})) > found


def test_ports_claimed_by_a_starting_stack_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, second, gone = tmp_path / "first", tmp_path / "second", tmp_path / "gone"
    first.mkdir()
    seen: list[frozenset[int]] = []

    def choose(taken: frozenset[int]) -> dict[str, int]:
        seen.append(taken)
        return {"postgres": 40000 + len(seen)}

    for claimant in (first, second, gone, first):
        claim_ports(claimant, choose)
    # `second` and `gone` do not exist, so nothing of theirs can be starting; one's own claim is no obstacle.
    assert seen == [frozenset(), frozenset({40001}), frozenset({40001}), frozenset()]


def test_state_is_private_complete_and_kept(home: StackHome) -> None:
    first = memory.load_or_create(home)
    path = home.root / "state.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert memory.load_or_create(home) == first
    memory.save(home, replace(first, ports={"postgres": 1}))
    assert memory.load_or_create(home).ports == {"postgres": 1}
    assert first.airflow_password not in repr(first)


def test_damaged_state_says_what_to_do(home: StackHome) -> None:
    (home.root / "state.json").write_text('{"passwords": ')
    with pytest.raises(StackError, match="damaged") as caught:
        memory.load(home)
    assert "make clean" in caught.value.hint


def test_a_home_without_stack_points_to_up(home: StackHome) -> None:
    with pytest.raises(StackError) as caught:
        memory.required(home)
    assert "lakehouse up" in caught.value.hint


def test_supervisor_configuration_survives_odd_names_and_starts_nothing_by_itself(home: StackHome) -> None:
    state = replace(memory.load_or_create(home), ports={"supervisor": 9010})
    program = Program("one", "group", ["/bin/echo", "100%", "two words"], priority=1)
    parser = configparser.RawConfigParser()
    parser.read_string(render(home, state, [program]))
    assert parser["inet_http_server"]["port"] == "127.0.0.1:9010"
    assert shlex.split(parser["program:one"]["command"].replace("%%", "%")) == list(program.command)
    assert parser["program:one"]["autostart"] == "false"


@pytest.mark.parametrize(("cpus", "tasks"), [(1, 4), (2, 4), (4, 8), (64, 16)])
def test_airflow_is_sized_to_the_machine(cpus: int, tasks: int) -> None:
    assert airflow.parallelism(cpus) == tasks


def test_exports_are_quoted_for_a_shell() -> None:
    assert export_lines({"A": "plain", "B": "it's $HOME"}) == "export A=plain\nexport B='it'\"'\"'s $HOME'"


def test_minio_on_path_wins_then_the_copy_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert minio.find_minio() is None
    cached, on_path = minio.cached_minio(), tmp_path / "bin" / "minio"
    for binary in (cached, on_path):
        binary.parent.mkdir(parents=True)
        binary.write_text("#!/bin/sh\n")
        binary.chmod(0o755)
        assert minio.find_minio() == binary
    assert minio.VERSION in str(cached)


def test_read_only_module_cache_can_be_removed(tmp_path: Path) -> None:
    module = tmp_path / "gopath" / "mod" / "a@v1"
    module.mkdir(parents=True)
    (module / "a.go").write_text("package a\n")
    (module / "a.go").chmod(0o444)
    module.chmod(0o555)
    minio._remove_tree(tmp_path / "gopath")
    assert not (tmp_path / "gopath").exists()


def test_any_free_port_is_free() -> None:
    port = any_free_port()
    assert next_free_port(port) == port
