"""What the tests of the laptop stack share."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from lakehouse.stack import laptop, processes
from lakehouse.stack import state as memory
from lakehouse.stack.network import any_free_port
from lakehouse.stack.postgres import place_for
from lakehouse.stack.state import StackHome, StackState

#: Kept, because their pipes must stay open.
_GUARDS: list[subprocess.Popen[bytes]] = []


@dataclass
class Notes:
    """A reporter that remembers what it was told."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        yield lambda _: None

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def new_home(folder: Path) -> StackHome:
    """A home with ports of its own, so that test processes do not race for the defaults."""
    home = StackHome(folder)
    home.create()
    ports = {name: any_free_port() for name in memory.DEFAULT_PORTS}
    memory.save(home, replace(memory.load_or_create(home), ports=ports))
    _delete_when_we_end(home)
    return home


def _delete_when_we_end(home: StackHome) -> None:
    """A stack is meant to outlive whoever starts it, but not a test process that was killed."""
    script = 'read -r _; LAKEHOUSE_HOME="$1" exec "$0" -m lakehouse.cli.main delete-everything --yes'
    process = subprocess.Popen(
        ["/bin/sh", "-c", script, sys.executable, str(home.root)],
        stdin=subprocess.PIPE,  # closes with this process
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _GUARDS.append(process)


def up(home: StackHome, notes: Notes | None = None, *, with_airflow: bool = False) -> StackState:
    return laptop.up(
        home,
        notes or Notes(),
        prepare=lambda _: None,
        pools={"probe": (1, "a pool")},
        with_airflow=with_airflow,
    )


def command(home: StackHome, *arguments: str, fails: bool = False) -> Any:
    """Run `lakehouse`; its JSON, where it was asked for, else what it wrote to standard error."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LAKEHOUSE_", "AWS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "lakehouse.cli.main", *arguments],
        env=environment | {"LAKEHOUSE_HOME": str(home.root)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stderr


def all_processes(home: StackHome) -> list[psutil.Process]:
    """Every process of a stack, Postgres with its children among them."""
    found = {process.pid: process for process in processes.of_stack(home.root)}
    server = processes.postmaster(place_for(home.root).data)
    if server:
        with contextlib.suppress(psutil.Error):
            found |= {process.pid: process for process in [server, *server.children(recursive=True)]}
    return list(found.values())


def pids(home: StackHome) -> set[int]:
    return {process.pid for process in all_processes(home)}


def kill_all(victims: list[psutil.Process]) -> None:
    """kill -9, all at once."""
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    psutil.wait_procs(victims, timeout=10)


def listening_addresses(home: StackHome) -> set[str]:
    addresses = set()
    for process in all_processes(home):
        with contextlib.suppress(psutil.Error):
            addresses |= {
                connection.laddr.ip
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
    return addresses
