"""A disk that is full when a test says so."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own in ``folder``; or just a folder, where none may be mounted: ``problem`` says why."""

    folder: Path
    problem: str = ""

    @classmethod
    @contextmanager
    def mounted(cls, folder: Path, *, megabytes: int) -> Iterator[SmallDisk]:
        """Mount one in memory, as root or by a ``sudo`` that asks for nothing."""
        folder.mkdir(mode=0o711, parents=True)
        options = f"size={megabytes}m,mode=0711,uid={os.geteuid()}"
        root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        try:
            made = subprocess.run(
                [*root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:  # no such command
            yield cls(folder, "there is no `mount`")
            return
        if made.returncode != 0:
            yield cls(folder, made.stderr.strip())
            return
        # Also when this process is killed: then the pipe closes, too.
        guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; exec "$@"', "sh", *root, "umount", "--lazy", str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield cls(folder)
        finally:
            guard.communicate()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no byte free meanwhile."""
        if self.problem:
            pytest.skip(f"NOT TESTED: a full disk. Mounting a small one needs root: {self.problem}")
        filler = self.folder / "filler"
        size = 1 << 20
        with filler.open("wb", buffering=0) as file:
            while size:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    size //= 2
        try:
            assert os.statvfs(self.folder).f_bavail == 0
            yield
        finally:
            filler.unlink()
