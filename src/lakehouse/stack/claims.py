"""Which stack of this user has claimed which ports.

A port is bound seconds after it was chosen (Airflow needs some), so whether it is free now does not tell whether
another checkout that is starting right now has chosen it too.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from lakehouse.stack.minio import cache_folder

#: A claim counts this long even when no supervisor of its home is seen yet.
_GRACE_SECONDS = 120.0


def claim_ports(home: Path, choose: Callable[[frozenset[int]], dict[str, int]]) -> dict[str, int]:
    """Let ``choose`` pick ports outside those of other stacks that run or are starting, and claim them."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "ports.json").open("a+") as register:
        fcntl.flock(register, fcntl.LOCK_EX)
        register.seek(0)
        claims = {
            other: claim for other, claim in _read(register.read()).items() if _stands(Path(other), claim)
        }
        claims.pop(str(home), None)
        taken = frozenset(port for claim in claims.values() for port in claim["ports"])
        ports = choose(taken)
        claims[str(home)] = {"ports": sorted(ports.values()), "at": time.time()}
        register.seek(0)
        register.truncate()
        json.dump(claims, register, indent=1)
    return ports


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:  # a machine that went down while writing; claims only help
        return {}
    return found if isinstance(found, dict) else {}


def _stands(home: Path, claim: dict[str, Any]) -> bool:
    """Whether a claim is fresh, or the stack behind it runs."""
    if time.time() - float(claim["at"]) < _GRACE_SECONDS:
        return home.exists()
    try:
        pid = int((home / "run" / "supervisord.pid").read_text())
        return pid != os.getpid() and "supervisord" in " ".join(psutil.Process(pid).cmdline())
    except (OSError, ValueError, psutil.Error):
        return False
