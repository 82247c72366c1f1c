"""Folders for what a process needs on the disk while it works, gone with it, also when it is killed.

A killed process cannot tidy up, and what it has fetched or spilled may be gigabytes. So each folder is locked by
whoever works in it, the lock ends with the process, and whoever needs a folder next removes those that nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "lakehouse-work-"


def new_folder() -> Path:
    """A name, below the machine's folder for temporary files, that nobody else uses. Nothing is made yet."""
    return Path(tempfile.gettempdir()) / f"{_PREFIX}{uuid.uuid4().hex}"


@contextmanager
def occupied(folder: Path) -> Iterator[Path]:
    """Make a folder (see :func:`new_folder`) that only this account can enter; removed at the end with all in it.

    Removes what processes that were killed have left beside it.
    """
    _remove_abandoned(folder.parent)
    # It gets its name when it is locked: whoever finds it free may remove it.
    draft = tempfile.mkdtemp(prefix=".lakehouse-", dir=folder.parent)
    held = os.open(draft, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        Path(draft).rename(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of this account that no process holds."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another account's, or gone meanwhile
            held = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(held).st_uid == os.geteuid():
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(held)
