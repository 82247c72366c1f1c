"""A landed file once more, with some of its records replaced. All other bytes stay what they are."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, cast

import numpy as np
import pyarrow as pa

from lakehouse.contract import Contract
from lakehouse.landing.delimited import SOURCE_LINE, check_header, parse_block, raw_schema
from lakehouse.landing.framing import Block, Framing, record_bounds
from lakehouse.landing.stream import Digest, Readable, chunks, open_stream

#: From a batch of records (see :func:`raw_schema`) those to replace, as they shall be.
Replace = Callable[[pa.RecordBatch], pa.RecordBatch]


@dataclass(frozen=True)
class Rewritten:
    """What was written: bytes as stored, their SHA-256, and how many records are others now."""

    bytes: int
    sha256: str
    records: int


def rewrite(source: Readable, contract: Contract, file: str, replace: Replace, to: Path) -> Rewritten:
    """Write a landed file to ``to`` with some of its records replaced; compressed, when it was.

    Every record that is not replaced keeps its bytes, quotes and line ends included. Memory does not grow with the
    file.

    Raises:
        FileDefect: the file is broken.
    """
    records = 0
    with to.open("wb") as sink, open_stream(source, Digest()) as stream:
        # A file of yesterday and today is the same when its records are.
        packed = (
            gzip.GzipFile("", "wb", fileobj=sink, mtime=0)
            if not isinstance(stream, io.BufferedReader)
            else None
        )
        out = cast(IO[bytes], packed or sink)
        with closing(chunks(stream, file)) as parts:
            for data, replaced in _records(parts, contract, file, replace):
                out.write(data)
                records += replaced
        if packed:
            packed.close()
    with to.open("rb") as written:
        sha256 = hashlib.file_digest(written, "sha256").hexdigest()
    return Rewritten(to.stat().st_size, sha256, records)


def _records(
    parts: Iterator[bytes], contract: Contract, file: str, replace: Replace
) -> Iterator[tuple[bytes, int]]:
    """The file's bytes in pieces, each with the number of records in it that were replaced."""
    framing = Framing(file, tuple(column.source_name for column in contract.columns))
    schema = raw_schema(contract)
    head, body = check_header(parts, framing)
    yield head, 0
    for block in framing.blocks(chain((body,) if body else (), parts), first_line=2):
        for batch in parse_block(block, schema, framing):
            yield _spliced(block, batch, replace(batch))


def _spliced(block: Block, batch: pa.RecordBatch, changed: pa.RecordBatch) -> tuple[bytes, int]:
    """A block with some of its records written anew."""
    if changed.num_rows == 0:
        return block.data, 0
    changed = changed.sort_by(SOURCE_LINE)
    at = np.searchsorted(block.lines, changed.column(SOURCE_LINE).to_numpy())
    before = batch.take(pa.array(at, pa.int64())).to_pylist()
    bounds, pieces, end, count = record_bounds(block), [], 0, 0
    for number, was, now in zip(at, before, changed.to_pylist(), strict=True):  # of few persons
        if was == now:
            continue
        start, stop = int(bounds[number]), int(bounds[number + 1])
        pieces += [block.data[end:start], _written(now, block.data[start:stop])]
        end, count = stop, count + 1
    return b"".join([*pieces, block.data[end:]]), count


def _written(row: dict[str, str], record: bytes) -> bytes:
    """A record with these values, ending as the one that it replaces."""
    ending = "\r\n" if record.endswith(b"\r\n") else "\n" if record.endswith(b"\n") else ""
    text = io.StringIO()
    csv.writer(text, lineterminator=ending).writerow([v for name, v in row.items() if name != SOURCE_LINE])
    return text.getvalue().encode()
