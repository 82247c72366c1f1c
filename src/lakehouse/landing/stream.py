"""Bytes of a file or of an S3 body: hashed as they pass, decompressed when needed, read one chunk ahead."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from isal import igzip, igzip_lib

from lakehouse.landing.defects import defect

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Decompressed bytes handled at a time. Memory stays at a few of these, whatever the file's size.
CHUNK_BYTES = 8 << 20
_READ_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


class Readable(Protocol):
    """Anything with ``read(n)``: an open file, a boto3 ``StreamingBody``."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes, nothing at the end."""
        ...


Source = str | Path | Readable


@dataclass
class Digest:
    """Size and SHA-256 of the bytes as stored (that is, compressed), complete once the file has been read."""

    size: int = 0
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        """The checksum of what has been read so far, as 64 hexadecimal digits."""
        return self._hash.hexdigest()

    def add(self, data: bytes) -> None:
        """Count and hash the next bytes."""
        self.size += len(data)
        self._hash.update(data)


class _Digesting(io.RawIOBase):
    """Turns any :class:`Readable` into a raw stream and digests what passes through."""

    def __init__(self, source: Readable, digest: Digest) -> None:
        self._source = source
        self._digest = digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read(len(view))
        self._digest.add(data)
        view[: len(data)] = data
        return len(data)


@contextmanager
def open_stream(source: Source, digest: Digest) -> Iterator[io.BufferedIOBase]:
    """The decompressed bytes of ``source``. Gzip is told by its first two bytes, not by the file's name.

    A path is opened and closed here; a stream is left to its owner.
    """
    if isinstance(source, str | Path):
        with Path(source).open("rb", buffering=0) as raw:
            yield _decompressed(raw, digest)
    else:
        yield _decompressed(source, digest)


def is_gzip(path: Path) -> bool:
    """Whether a file is compressed, told as :func:`open_stream` tells it."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


def _decompressed(source: Readable, digest: Digest) -> io.BufferedIOBase:
    buffered = io.BufferedReader(_Digesting(source, digest), _READ_BYTES)
    if buffered.peek(2)[:2] == _GZIP_MAGIC:
        return cast(io.BufferedIOBase, igzip.IGzipFile(fileobj=buffered, mode="rb"))  # type: ignore[no-untyped-call]
    return buffered


def chunks(stream: io.BufferedIOBase, file: str, size: int = CHUNK_BYTES) -> Generator[bytes]:
    """Chunks of ``size`` bytes; the next one is read in the background while the caller works on this one.

    Closing the generator waits for the end of that reading.

    Raises:
        FileDefect: the gzip container is cut off or damaged.
    """
    done = 0
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="landing-read") as reader:
        ahead = reader.submit(stream.read, size)
        while True:
            try:
                chunk = ahead.result()
            except EOFError as error:
                raise defect(
                    file,
                    f"the gzip file is cut off (it breaks off after {done:,} readable bytes)",
                    "The download or copy was interrupted; fetch the file again, check it with `gzip -t`.",
                ) from error
            except (igzip_lib.IsalError, gzip.BadGzipFile) as error:  # type: ignore[misc]  # not typed
                raise defect(
                    file,
                    f"the gzip file is damaged after {done:,} readable bytes ({error})",
                    "Fetch the file again and check it with `gzip -t`.",
                ) from error
            if not chunk:
                return
            done += len(chunk)
            ahead = reader.submit(stream.read, size)
            yield chunk
