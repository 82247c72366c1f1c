"""What is expensive to work out and the same in every test process is worked out by one of them."""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Once:
    """Values by name, in a folder that the test processes of one run share and no other run sees."""

    folder: Path

    def __call__(self, name: str, work_out: Callable[[], T]) -> T:
        """The value: who comes first works it out, the others wait for it. When that fails, the next one tries."""
        kept = self.folder / f"{name}.pickle"
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                value = work_out()
                draft = kept.with_suffix(".new")
                draft.write_bytes(pickle.dumps(value))
                draft.replace(kept)
            found: T = pickle.loads(kept.read_bytes())  # noqa: S301 - our own, of this run
            return found
