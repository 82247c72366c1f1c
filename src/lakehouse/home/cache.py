"""Lake files kept on this machine: what one task has fetched, the next one need not fetch again.

A lake file never changes: its name is its version. So a copy is either whole or worthless, and deleting the folder, or
any file in it, at any time costs another fetch and nothing else. Copies are handed out as hard links: one that is
deleted meanwhile stays with whoever has it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import zlib
from contextlib import suppress
from pathlib import Path

from lakehouse.home.settings import cache_place

_CHUNK_BYTES = 1 << 20
#: Of the limit, what stays when it was passed.
_KEPT = 0.8
#: So many are quick to look through.
_MOST_FILES = 4000
#: What nobody has read for so long goes: it may be a copy of what was deleted from the lake since.
_UNUSED_S = 24 * 3600
#: How often the folder is looked through, at most.
_LOOK_S = 10


class FileCache:
    """A folder of copies, for several processes at once. A copy's name tells its file, its size and its checksum."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._limit_bytes = limit_bytes

    def take(self, uri: str, path: Path) -> bool:
        """Put a file at ``path`` when there is a whole copy of it; one that is not whole is deleted."""
        for copy in self._copies(uri):
            with suppress(OSError):
                os.link(copy, path)
                if copy.name == _name(uri, path):
                    os.utime(path)
                    return True
                path.unlink()
                copy.unlink()
        return False

    def keep(self, uri: str, path: Path) -> None:
        """Keep a file that was fetched. When that is not possible (a full disk, another disk) nothing happens."""
        with suppress(OSError):
            # Linked under a name that nobody looks for: no process ever sees a part of a file.
            with tempfile.TemporaryDirectory(prefix=".", dir=self._folder) as own:
                os.link(path, draft := Path(own) / "copy")
                kept = self._shelf(uri) / _name(uri, path)
                kept.parent.mkdir(exist_ok=True)
                draft.replace(kept)
            self._trim()

    def forget(self, uri: str) -> None:
        """Delete the copy of a file that was deleted from the lake."""
        for copy in self._copies(uri):
            copy.unlink(missing_ok=True)

    def _shelf(self, uri: str) -> Path:
        """The folder of a file's copy: looking through all copies for one would take long."""
        return self._folder / _digest(uri)[:2]

    def _copies(self, uri: str) -> list[Path]:
        return list(self._shelf(uri).glob(f"{_digest(uri)}-*"))

    def _trim(self) -> None:
        """Delete what was not read for long, and what was read longest ago when there is more than the limit."""
        looked = self._folder / "looked"
        now = time.time()
        if looked.exists() and now - looked.stat().st_mtime < _LOOK_S:
            return
        looked.touch()
        found = []
        for copy in self._folder.glob("??/*"):
            with suppress(OSError):  # another process has deleted it
                known = copy.stat()
                found.append((known.st_mtime, known.st_size, copy))
        found.sort(reverse=True)
        room = self._limit_bytes
        if sum(size for _, size, _ in found) > self._limit_bytes:
            room = int(room * _KEPT)
        for number, (used, size, copy) in enumerate(found):
            room -= size
            if room < 0 or number >= _MOST_FILES or now - used > _UNUSED_S:
                copy.unlink(missing_ok=True)


def local_cache() -> FileCache | None:
    """The cache of ``LAKEHOUSE_CACHE_FOLDER``, of at most ``LAKEHOUSE_CACHE_MB``; None when no folder is named."""
    folder, megabytes = cache_place()
    return FileCache(Path(folder), megabytes << 20) if folder else None


def _digest(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()[:32]


def _name(uri: str, path: Path) -> str:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
    return f"{_digest(uri)}-{path.stat().st_size}-{checksum:08x}"
