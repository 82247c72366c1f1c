"""A folder of pages that people read: on this machine, or a prefix of a bucket.

Names are relative (``validations/a/b.html``). Pages are replaced as a whole: whoever reads one meanwhile gets the old
one. Several processes may write; :meth:`Pages.change` loses no change that another one makes.
"""

from __future__ import annotations

import fcntl
import hashlib
import mimetypes
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from lakehouse.errors import LakehouseError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from lakehouse.home.homes import S3Access

_S3 = "s3://"
#: Requests to the store at a time; most of one is waiting.
_REQUESTS = 8
#: How often a change is tried again because another process was quicker.
_TRIES = 50
#: Not left to the machine's own list: some have none, and a browser refuses a script that is called text.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".sql": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class Page:
    """A page's bytes, and a token that is another one when they are."""

    data: bytes
    token: str


@dataclass(frozen=True)
class Aged:
    """When a page was written last, and its size."""

    name: str
    written_at: datetime
    bytes: int


class Pages(Protocol):
    """Where pages are kept."""

    def read(self, name: str) -> Page | None:
        """A page; None when there is none of that name, or the name leads out of the folder."""

    def write(self, pages: Mapping[str, bytes]) -> None:
        """Write pages, whatever was there."""

    def change(self, name: str, new: Callable[[bytes | None], bytes]) -> Page:
        """Make a page from what it is now (None: missing); ``new`` may be called again. Returns what was written."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove pages; those that are gone are no error."""

    def names(self, under: str = "") -> Iterator[str]:
        """The pages below a folder."""

    def aged(self, under: str = "") -> Iterator[Aged]:
        """The pages below a folder, with their age and size."""


def open_pages(place: str | Path, s3: S3Access | None = None) -> Pages:
    """The pages at a folder, or at ``s3://<bucket>/<prefix>``. Nothing is made or contacted yet.

    Raises:
        LakehouseError: the place is not a folder's path, nor an S3 prefix that ``s3`` can reach.
    """
    text = str(place)
    if not text.startswith(_S3):
        if "://" in text:
            raise LakehouseError(
                f"Pages cannot be kept at {text}.",
                "Name a folder, or s3://<bucket>/<prefix>, in LAKEHOUSE_DATA_DOCS.",
            )
        return LocalPages(Path(place))
    bucket, _, prefix = text.removeprefix(_S3).strip("/").partition("/")
    if not bucket or not prefix or s3 is None:
        raise LakehouseError(
            f"Pages cannot be kept at {text}.",
            "Name bucket and prefix, s3://<bucket>/<prefix>; the prefix is for pages only.",
        )
    return S3Pages(bucket, prefix, s3)


def media_type(name: str) -> str:
    """A page's content type, by its name."""
    suffix = PurePosixPath(name).suffix.lower()
    return _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def is_name(name: str) -> bool:
    """Whether this names a page: relative, not hidden, and with nothing in it that leads elsewhere."""
    if not name or "\\" in name or "\0" in name or len(name) > 1000:
        return False
    return all(part and not part.startswith(".") for part in name.split("/"))


@dataclass(frozen=True)
class LocalPages:
    """Pages in a folder of this machine."""

    folder: Path

    def read(self, name: str) -> Page | None:
        """See :meth:`Pages.read`. A link that leads out of the folder is no page."""
        if not is_name(name):
            return None
        try:
            path = (self.folder / name).resolve(strict=True)
            if not path.is_relative_to(self.folder.resolve()) or not path.is_file():
                return None
            return _page(path.read_bytes())
        except OSError:  # missing, or a name longer than the file system takes
            return None

    def write(self, pages: Mapping[str, bytes]) -> None:
        """See :meth:`Pages.write`."""
        for name, data in pages.items():
            self._put(self.folder / _checked(name), data)

    def change(self, name: str, new: Callable[[bytes | None], bytes]) -> Page:
        """See :meth:`Pages.change`."""
        with self._alone():
            found = self.read(_checked(name))
            data = new(found.data if found else None)
            self._put(self.folder / name, data)
        return _page(data)

    def remove(self, names: Iterable[str]) -> None:
        """See :meth:`Pages.remove`. Folders that become empty go too."""
        for name in names:
            path = self.folder / _checked(name)
            path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                for parent in path.relative_to(self.folder).parents[:-1]:
                    (self.folder / parent).rmdir()

    def names(self, under: str = "") -> Iterator[str]:
        """See :meth:`Pages.names`."""
        yield from (found.name for found in self.aged(under))

    def aged(self, under: str = "") -> Iterator[Aged]:
        """See :meth:`Pages.aged`."""
        for path in sorted((self.folder / under).rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if is_name(name) and path.is_file():
                with suppress(FileNotFoundError):  # somebody has just removed it
                    found = path.stat()
                    yield Aged(name, datetime.fromtimestamp(found.st_mtime, UTC), found.st_size)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _put(self, path: Path, data: bytes) -> None:
        unfinished = path.with_name(f".{path.name[:200]}.{os.getpid()}")
        for last in (False, False, True):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                unfinished.write_bytes(data)
                unfinished.replace(path)
            except FileNotFoundError:  # somebody who removed a page has just removed its folder
                if last:
                    raise
            else:
                return


@dataclass(frozen=True)
class S3Pages:
    """Pages below a prefix of a bucket."""

    bucket: str
    prefix: str
    access: S3Access

    def read(self, name: str) -> Page | None:
        """See :meth:`Pages.read`."""
        if not is_name(name):
            return None
        try:
            found = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
        except self._client.exceptions.NoSuchKey:
            return None
        return Page(found["Body"].read(), found["ETag"])

    def write(self, pages: Mapping[str, bytes]) -> None:
        """See :meth:`Pages.write`."""
        with ThreadPoolExecutor(_REQUESTS) as pool:
            list(pool.map(lambda item: self._put(*item), pages.items()))

    def change(self, name: str, new: Callable[[bytes | None], bytes]) -> Page:
        """See :meth:`Pages.change`.

        Raises:
            LakehouseError: others changed it all the time.
        """
        from botocore.exceptions import ClientError

        for turn in range(_TRIES):
            found = self.read(_checked(name))
            data = new(found.data if found else None)
            condition = {"IfMatch": found.token} if found else {"IfNoneMatch": "*"}
            try:
                return Page(data, self._put(name, data, **condition))
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in (404, 409, 412):
                    raise
            time.sleep(random.uniform(0, min(0.05 * 2**turn, 1)))  # noqa: S311 - so that two do not meet again
        raise LakehouseError(
            f"{self._key(name)} in {self.bucket} was changed by others all the time.", "Try again."
        )

    def remove(self, names: Iterable[str]) -> None:
        """See :meth:`Pages.remove`."""
        keys = [{"Key": self._key(_checked(name))} for name in names]
        for start in range(0, len(keys), 1000):
            wanted: Any = {"Objects": keys[start : start + 1000], "Quiet": True}
            self._client.delete_objects(Bucket=self.bucket, Delete=wanted)

    def names(self, under: str = "") -> Iterator[str]:
        """See :meth:`Pages.names`."""
        yield from (found.name for found in self.aged(under))

    def aged(self, under: str = "") -> Iterator[Aged]:
        """See :meth:`Pages.aged`."""
        listing = self._client.get_paginator("list_objects_v2")
        start = self._key(f"{under}/" if under else "")
        for part in listing.paginate(Bucket=self.bucket, Prefix=start):
            for entry in part.get("Contents", []):
                name = entry["Key"].removeprefix(f"{self.prefix}/")
                yield Aged(name, entry["LastModified"], entry["Size"])

    @property
    def _client(self) -> S3Client:
        from lakehouse.home.homes import s3_client

        return s3_client(self.access)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def _put(self, name: str, data: bytes, **condition: Any) -> str:
        put = self._client.put_object(
            Bucket=self.bucket,
            Key=self._key(_checked(name)),
            Body=data,
            ContentType=media_type(name),
            **condition,
        )
        return put["ETag"]


def _page(data: bytes) -> Page:
    return Page(data, hashlib.sha256(data).hexdigest())


def _checked(name: str) -> str:
    if not is_name(name):
        raise LakehouseError(
            f"{name!r} is not the name of a page.", "Names are relative and have no '..' in them."
        )
    return name
