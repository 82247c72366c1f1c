"""A folder, or a prefix of a bucket: where objects are read from and written to, as streams.

What is being written appears under its name when all of it is there, and not before.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from boto3.s3.transfer import TransferConfig

from lakehouse.errors import LakehouseError
from lakehouse.home.homes import S3Access, s3_client
from lakehouse.home.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_S3 = "s3://"
_PART = ".part"
_CHUNK = 1 << 20
#: As files are landed, so that a restored one has the token it had. Several objects are on their way at a time already.
_TRANSFER = TransferConfig(multipart_threshold=16 << 20, multipart_chunksize=16 << 20, use_threads=False)
#: For one stream whose length nobody knows: a store takes 10,000 parts.
_LONG = TransferConfig(multipart_threshold=64 << 20, multipart_chunksize=64 << 20, use_threads=False)


class Changed(Exception):
    """An object is not any more what the listing said."""


@dataclass(frozen=True)
class Found:
    """An object: its size, and a token that is another one when its bytes are."""

    bytes: int
    token: str


@dataclass(frozen=True)
class Written:
    """What was written: its size and SHA-256."""

    bytes: int
    sha256: str


class Place(Protocol):
    """Where objects are kept under names like ``a/b/c``."""

    @property
    def name(self) -> str:
        """How a person calls it."""

    def make(self) -> None:
        """Make sure that something can be written."""

    def list(self, under: str = "") -> dict[str, Found]:
        """The objects whose names begin so."""

    def open(self, name: str, token: str = "") -> IO[bytes]:
        """Read an object.

        Raises:
            Changed: it is gone, or not the one with this token.
        """

    def write(self, name: str, source: Hashing, *, long: bool = False) -> None:
        """Write an object from a stream to its end; ``long``: of unknown, perhaps great length."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; those that are gone do not matter."""

    def on_disk(self, name: str) -> AbstractContextManager[Path]:
        """The object as a file of this machine."""


class Hashing:
    """A stream to read, whose bytes are counted and hashed on their way."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._digest, self.bytes = source, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._source.read(size)
        self._digest.update(data)
        self.bytes += len(data)
        return data

    def to_end(self) -> Written:
        """Read what is left."""
        while self.read(_CHUNK):
            pass
        return self.written

    @property
    def written(self) -> Written:
        """What has been read so far."""
        return Written(self.bytes, self._digest.hexdigest())


def open_place(where: str, settings: Settings) -> Place:
    """The place of backups: a folder, or ``s3://<bucket>/<prefix>`` on the store that ``LAKEHOUSE_BACKUP_*`` names.

    Raises:
        LakehouseError: it is neither.
    """
    if not where.startswith(_S3):
        if "://" in where:
            raise LakehouseError(
                f"Backups cannot be kept at {where}.", "Name a folder, or s3://<bucket>/<prefix>."
            )
        return Folder(Path(where).expanduser().resolve())
    bucket, _, prefix = where.removeprefix(_S3).strip("/").partition("/")
    if not bucket:
        raise LakehouseError(f"{where} names no bucket.", "Write s3://<bucket>/<prefix>.")
    access = S3Access(
        settings.backup_endpoint or settings.s3_endpoint,
        settings.backup_access_key or settings.access_key,
        (
            settings.backup_secret_key if settings.backup_access_key else settings.secret_key
        ).get_secret_value(),
        settings.region,
    )
    return Bucket(bucket, f"{prefix}/" if prefix else "", access)


def _not_written(where: object, why: object) -> LakehouseError:
    return LakehouseError(
        f"{where} could not be written: {why}.", "Mend this, or make room, and run the same command again."
    )


@dataclass(frozen=True)
class Folder:
    """A folder of this machine. What is written there is readable by its owner alone."""

    root: Path

    @property
    def name(self) -> str:
        """See :class:`Place`."""
        return str(self.root)

    def make(self) -> None:
        """See :meth:`Place.make`.

        Raises:
            LakehouseError: it cannot be made, or nothing can be written to it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise LakehouseError(
                f"Nothing can be written to {self.root}: {error.strerror}.", "Name another folder."
            ) from error

    def list(self, under: str = "") -> dict[str, Found]:
        """See :meth:`Place.list`. What is half written has no name yet."""
        found: dict[str, Found] = {}
        for path in sorted((self.root / under).rglob("*")):
            with suppress(FileNotFoundError):  # gone meanwhile
                if path.suffix != _PART and path.is_file():
                    stat = path.stat()
                    token = f"{stat.st_size}-{stat.st_mtime_ns}"
                    found[path.relative_to(self.root).as_posix()] = Found(stat.st_size, token)
        return found

    def open(self, name: str, token: str = "") -> IO[bytes]:
        """See :meth:`Place.open`."""
        try:
            stream = self._path(name).open("rb")
        except FileNotFoundError as error:
            raise Changed(name) from error
        stat = os.fstat(stream.fileno())
        if token not in ("", f"{stat.st_size}-{stat.st_mtime_ns}"):
            stream.close()
            raise Changed(name)
        return stream

    def write(self, name: str, source: Hashing, *, long: bool = False) -> None:
        """See :meth:`Place.write`."""
        path = self._path(name)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for parent in reversed(path.relative_to(self.root).parents[:-1]):
            (self.root / parent).mkdir(exist_ok=True, mode=0o700)
        half = path.with_name(path.name + _PART)
        try:
            with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
                while data := source.read(_CHUNK):
                    target.write(data)
                target.flush()
                os.fsync(target.fileno())
            half.replace(path)
        except OSError as error:
            half.unlink(missing_ok=True)
            raise _not_written(path, error.strerror or error) from error
        except BaseException:
            half.unlink(missing_ok=True)
            raise

    def delete(self, names: Iterable[str]) -> None:
        """See :meth:`Place.delete`. Folders that become empty go too."""
        for name in names:
            path = self._path(name)
            path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                for parent in path.relative_to(self.root).parents[:-1]:
                    (self.root / parent).rmdir()

    @contextmanager
    def on_disk(self, name: str) -> Iterator[Path]:
        """See :meth:`Place.on_disk`."""
        yield self._path(name)

    def _path(self, name: str) -> Path:
        if ".." in name.split("/") or name.startswith("/"):
            raise LakehouseError(
                f"{name!r} leads out of {self.root}.", "Somebody has changed this backup: use another."
            )
        return self.root / name


@dataclass(frozen=True)
class Bucket:
    """A bucket, or what lies below a prefix of one; ``prefix`` is empty or ends with a slash."""

    bucket: str
    prefix: str
    access: S3Access

    @property
    def name(self) -> str:
        """See :class:`Place`."""
        return f"{_S3}{self.bucket}/{self.prefix}".rstrip("/")

    def make(self) -> None:
        """See :meth:`Place.make`. The bucket must be there: who makes one decides who may read it.

        Raises:
            LakehouseError: it is not, or may not be listed.
        """
        from botocore.exceptions import ClientError

        try:
            self._client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)
        except ClientError as error:
            raise LakehouseError(
                f"{self.name} cannot be read: {error}.",
                "Make the bucket, and name a key for it: LAKEHOUSE_BACKUP_ACCESS_KEY, LAKEHOUSE_BACKUP_SECRET_KEY, "
                "and LAKEHOUSE_BACKUP_ENDPOINT when it is another store.",
            ) from error

    def list(self, under: str = "") -> dict[str, Found]:
        """See :meth:`Place.list`."""
        pages = self._client.get_paginator("list_objects_v2")
        return {
            entry["Key"].removeprefix(self.prefix): Found(entry["Size"], entry["ETag"].strip('"'))
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + under)
            for entry in page.get("Contents", [])
        }

    def open(self, name: str, token: str = "") -> IO[bytes]:
        """See :meth:`Place.open`."""
        from botocore.exceptions import ClientError

        only = {"IfMatch": token} if token else {}
        try:
            body: Any = self._client.get_object(Bucket=self.bucket, Key=self.prefix + name, **only)["Body"]  # type: ignore[arg-type]
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (404, 412):
                raise Changed(name) from error
            raise
        return body  # type: ignore[no-any-return]

    def write(self, name: str, source: Hashing, *, long: bool = False) -> None:
        """See :meth:`Place.write`."""
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import ClientError

        config = _LONG if long else _TRANSFER
        try:
            self._client.upload_fileobj(source, self.bucket, self.prefix + name, Config=config)  # type: ignore[arg-type]
        except (ClientError, S3UploadFailedError) as error:
            raise _not_written(f"{_S3}{self.bucket}/{self.prefix}{name}", error) from error

    def delete(self, names: Iterable[str]) -> None:
        """See :meth:`Place.delete`."""
        keys = [{"Key": self.prefix + name} for name in names]
        for start in range(0, len(keys), 1000):
            some: Any = {"Objects": keys[start : start + 1000], "Quiet": True}
            self._client.delete_objects(Bucket=self.bucket, Delete=some)

    @contextmanager
    def on_disk(self, name: str) -> Iterator[Path]:
        """See :meth:`Place.on_disk`: a copy that is deleted afterwards."""
        with tempfile.TemporaryDirectory(prefix="lakehouse-restore-") as folder:
            path = Path(folder) / name.rpartition("/")[2]
            with closing(self.open(name)) as source, path.open("wb") as target:
                while data := source.read(_CHUNK):
                    target.write(data)
            yield path

    @property
    def _client(self) -> S3Client:
        return s3_client(self.access)
