"""What to tell when a home fails under a step: a server that does not answer, a full disk, a wrong clock.

Libraries tell it in a dozen ways (psycopg2, botocore, pyarrow's S3 client, DuckDB, the operating system); a person who
reads a task's log should read which server or disk it is, and what to do.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import psycopg2
from psycopg2 import errorcodes

from lakehouse.errors import DiskFull, LakehouseError, Unreachable
from lakehouse.home.homes import Homes

P = ParamSpec("P")
R = TypeVar("R")

#: Errors of botocore that say that there is nobody, or that the answer broke off.
_STORE_GONE = {"ConnectionError", "HTTPClientError", "IncompleteReadError", "ResponseStreamingError"}
#: How pyarrow's client tells the same, in the text of an OSError.
_STORE_GONE_TEXTS = (
    "AWS Error NETWORK_CONNECTION",
    "curlCode:",
    "AWS Error SERVICE_UNAVAILABLE",
    "AWS Error SLOW_DOWN",
)
_STORE_FULL = ("XMinioStorageFull", "minimum free drive threshold", "no space left on device")
_STORE_BUSY = {
    "SlowDown",
    "ServiceUnavailable",
    "XMinioServerNotInitialized",
    "InternalError",
    "500",
    "502",
    "503",
    "504",
}
#: What DuckDB says when what it spills does not fit.
_SPILL_FULL = ("No space left on device", "max_temp_directory_size")
_AGAIN = "Nothing was published; run this again then (Airflow does so by itself)."
_UP = f"`lakehouse status` shows what is down, `lakehouse up` starts it. {_AGAIN}"


def for_people(step: Callable[Concatenate[Homes, P], R]) -> Callable[Concatenate[Homes, P], R]:
    """Let a function of the homes tell their trouble as people read it (see :func:`explained`)."""

    @wraps(step)
    def told(homes: Homes, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with explained(homes):
            return step(homes, *args, **kwargs)

    return told


@contextmanager
def explained(homes: Homes) -> Iterator[None]:
    """Turn what libraries raise when a home fails into an error that says which, and what to do. Others pass.

    Raises:
        DiskFull: of this machine, the warehouse or the object store.
        Unreachable: warehouse or object store do not answer, or broke off in the middle.
        LakehouseError: the clocks of this machine and of the object store differ too much.
    """
    try:
        yield
    except LakehouseError:
        raise
    except Exception as error:
        for cause in _causes(error):
            if told := _of_this_machine(cause) or _of_warehouse(homes, cause) or _of_store(homes, cause):
                raise told from error
        raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from, the outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "orig", None) or error.__cause__ or error.__context__


def _of_this_machine(error: BaseException) -> LakehouseError | None:
    spilled = type(error).__module__.startswith(("duckdb", "_duckdb")) and _says(error, _SPILL_FULL)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not (spilled or full):
        return None
    return DiskFull(
        f"The disk of this machine is full: what a task fetches and spills is below {tempfile.gettempdir()}.",
        "Free space there, or let TMPDIR name a folder on a larger disk (LAKEHOUSE_ENGINE_MEMORY says how much is "
        f"kept in memory instead). {_AGAIN}",
    )


def _of_warehouse(homes: Homes, error: BaseException) -> LakehouseError | None:
    if not isinstance(error, psycopg2.Error):
        return None
    url = homes.engine.url
    what = f"warehouse (Postgres at {url.host}:{url.port or 5432}, database {url.database})"
    if error.pgcode == errorcodes.DISK_FULL:
        return DiskFull(
            f"The disk of the {what} is full: {_first_line(error)}",
            f"Free space on the disk that holds its data. {_AGAIN}",
        )
    if error.pgcode == errorcodes.ADMIN_SHUTDOWN:
        return Unreachable(
            f"The {what} has ended this task's session: it stops, or a later try of the task has taken over.",
            _UP,
        )
    lost = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) and error.pgcode is None
    ended = error.pgcode in (
        errorcodes.ADMIN_SHUTDOWN,
        errorcodes.CRASH_SHUTDOWN,
        errorcodes.CANNOT_CONNECT_NOW,
    )
    if lost or ended:
        return Unreachable(f"The {what} does not answer: {_first_line(error)}", _UP)
    return None


def _of_store(homes: Homes, error: BaseException) -> LakehouseError | None:
    what = f"object store at {homes.s3.endpoint or 'AWS'}"
    response = getattr(error, "response", None)  # of botocore; other libraries call other things so
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    of_arrow = isinstance(error, OSError) and "AWS Error" in str(error)
    if (code or of_arrow) and _says(error, _STORE_FULL):
        return DiskFull(
            f"The disk of the {what} is full: it takes no more objects.",
            f"Free space on the disk that holds its data. {_AGAIN}",
        )
    if code == "RequestTimeTooSkewed":
        return LakehouseError(
            f"The clocks of this machine and of the {what} differ by more than 15 minutes: it refuses requests.",
            f"Set both clocks by a time server. {_AGAIN}",
        )
    kinds = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith("botocore")}
    if kinds & _STORE_GONE or code in _STORE_BUSY or (of_arrow and _says(error, _STORE_GONE_TEXTS)):
        return Unreachable(f"The {what} does not answer: {_first_line(error)}", _UP)
    return None


def _says(error: BaseException, texts: tuple[str, ...]) -> bool:
    return any(text in str(error) for text in texts)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
