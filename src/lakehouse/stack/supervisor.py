"""supervisord keeps the servers alive: its configuration, and talking to it."""

from __future__ import annotations

import configparser
import http.client
import io
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lakehouse.errors import StackError
from lakehouse.stack.network import LOOPBACK
from lakehouse.stack.state import StackHome, StackState, write_private

_USER = "lakehouse"
#: supervisor's fault codes that mean "already so".
_ALREADY_STARTED, _NOT_RUNNING = 60, 70


@dataclass(frozen=True)
class Program:
    """One supervised server."""

    name: str
    group: str
    command: Sequence[str]
    #: Lower starts earlier and stops later.
    priority: int
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProgramStatus:
    """What the supervisor says about one server."""

    name: str
    group: str
    state: str
    pid: int
    since: int
    detail: str

    @property
    def running(self) -> bool:
        """Whether the process is there (it may still be starting up)."""
        return self.state in ("RUNNING", "STARTING")


def render(home: StackHome, state: StackState, programs: Sequence[Program]) -> str:
    """The text of ``supervisord.conf``. Nothing starts by itself: `up` starts servers in their order."""
    config = configparser.RawConfigParser()
    config["inet_http_server"] = {
        "port": f"{LOOPBACK}:{state.ports['supervisor']}",
        "username": _USER,
        "password": state.supervisor_password,
    }
    config["supervisord"] = {
        "identifier": home.identity,
        "logfile": _escape(home.logs / "supervisord.log"),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "1",
        "pidfile": _escape(home.run / "supervisord.pid"),
        "childlogdir": _escape(home.logs),
        "directory": "/",
        "umask": "077",
        "nocleanup": "true",
    }
    if os.geteuid() == 0:
        config["supervisord"]["user"] = "root"  # said on purpose, else it warns
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for group in dict.fromkeys(program.group for program in programs):
        members = [program for program in programs if program.group == group]
        config[f"group:{group}"] = {
            "programs": ",".join(member.name for member in members),
            "priority": str(members[0].priority),
        }
    for program in programs:
        config[f"program:{program.name}"] = _section(home, program)
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _section(home: StackHome, program: Program) -> dict[str, str]:
    section = {
        "command": _escape(shlex.join(program.command)),
        "priority": str(program.priority),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "5",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        "stopasgroup": "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _escape(home.logs / f"{program.name}.log"),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "2",
    }
    if program.user:
        section["user"] = program.user
    if program.environment:
        section["environment"] = _escape(
            ",".join(f'{name}="{value}"' for name, value in program.environment.items())
        )
    return section


def _escape(value: object) -> str:
    """supervisor expands ``%(…)s`` in values."""
    return str(value).replace("%", "%%")


class Supervisor:
    """The supervisor of one home."""

    def __init__(self, home: StackHome, state: StackState) -> None:
        self._home = home
        port = state.ports.get("supervisor", 0)
        self._proxy = xmlrpc.client.ServerProxy(
            f"http://{_USER}:{state.supervisor_password}@{LOOPBACK}:{port}/RPC2"
        )

    def _call(self, method: str, *arguments: object) -> Any:
        """Call ``supervisor.<method>``.

        Raises:
            OSError: nobody (or somebody else) answers there.
        """
        try:
            return getattr(self._proxy.supervisor, method)(*arguments)
        except (http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise ConnectionError(str(error)) from error

    @property
    def alive(self) -> bool:
        """Whether this home's supervisor answers."""
        try:
            return bool(self._call("getIdentification") == self._home.identity)
        except OSError:
            return False

    def start_daemon(self, config: str, environment: Mapping[str, str]) -> None:
        """Start supervisord in the background; its children inherit ``environment``.

        Raises:
            StackError: it did not come up.
        """
        path = self._home.run / "supervisord.conf"
        write_private(path, config)
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(path)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # Ctrl-C on the terminal is not for the servers
        )
        deadline = time.monotonic() + 10
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.alive:
                return
            time.sleep(0.05)
        raise StackError(
            f"The supervisor did not start: {done.stderr.strip() or done.stdout.strip()}",
            f"Read {self._home.logs / 'supervisord.log'}, then run `lakehouse up` again.",
        )

    def start(self, program: Program) -> None:
        """Start one server unless it runs; do not wait for it."""
        try:
            self._call("startProcess", f"{program.group}:{program.name}", False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _ALREADY_STARTED:
                raise StackError(
                    f"{program.name} could not be started: {fault.faultString}",
                    f"Read `lakehouse logs {program.name}`.",
                ) from fault

    def stop_group(self, group: str) -> None:
        """Stop the servers of a group together, and wait."""
        self._call("stopProcessGroup", group, True)

    def pid(self) -> int:
        """The supervisor's own process."""
        return cast(int, self._call("getPID"))

    def shutdown(self) -> int:
        """Ask the supervisor to stop everything, in order, and itself; returns its pid to wait for."""
        pid = self.pid()
        self._call("shutdown")
        return pid

    def statuses(self) -> list[ProgramStatus]:
        """All servers; empty when the supervisor is not there."""
        try:
            entries = self._call("getAllProcessInfo")
        except OSError:
            return []
        return [
            ProgramStatus(
                entry["name"],
                entry["group"],
                entry["statename"],
                entry["pid"],
                entry["start"],
                entry["description"],
            )
            for entry in entries
        ]


def log_file(home: StackHome, service: str) -> Path:
    """Where a server's output goes."""
    return home.logs / f"{service}.log"
