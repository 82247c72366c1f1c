"""The operating-system account a server runs as: Postgres refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from lakehouse.errors import StackError


class PopenOptions(TypedDict, total=False):
    """What `subprocess` needs to start a process as another user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int

    def popen_options(self) -> PopenOptions:
        """Arguments for `subprocess` to run a command as this user, without root's groups."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_enter(self, folder: Path) -> bool:
        """Whether this user can reach ``folder`` (asked of the operating system, not guessed from modes)."""
        done = subprocess.run(
            ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)],
            cwd="/",
            capture_output=True,
            check=False,
            **self.popen_options(),
        )
        return done.returncode == 0


def postgres_account() -> Account | None:
    """Whom Postgres runs as: another user when we are root, else None (ourselves).

    Raises:
        StackError: we are root and there is neither a user ``postgres`` nor ``nobody``.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "_postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        "Postgres must not run as root, and this machine has no user `postgres` or `nobody`.",
        "Run `lakehouse up` as an ordinary user, or create one of these users.",
    )
