"""The one reader of landed CSV files: strict, streaming, everything as text.

pyarrow splits the fields, 8 MiB at a time; what it lets pass (a quote that is never closed, text after a
closing quote, zero bytes, empty lines) is checked on the bytes by :mod:`lakehouse.landing.framing`.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.csv as pacsv

from lakehouse.contract import Contract
from lakehouse.errors import FileDefect
from lakehouse.landing.defects import defect, lone_return
from lakehouse.landing.framing import Block, Framing
from lakehouse.landing.stream import CHUNK_BYTES, Digest, Source, chunks, open_stream

SOURCE_LINE = "_source_line"
_BOM = b"\xef\xbb\xbf"
#: Two cores share a block.
_PARSE_BYTES = 4 << 20
_MAX_HEADER_BYTES = 1 << 20


def raw_schema(contract: Contract) -> pa.Schema:
    """What :func:`read_batches` yields: every column as text under its RAW name, then ``_source_line``."""
    fields: list[pa.Field[Any]] = [
        pa.field(column.raw_name, pa.string(), nullable=False) for column in contract.columns
    ]
    return pa.schema([*fields, pa.field(SOURCE_LINE, pa.int64(), nullable=False)])


def read_batches(
    source: Source,
    contract: Contract,
    file: str,
    digest: Digest | None = None,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> Generator[pa.RecordBatch]:
    """Read a CSV file (plain or gzip) as it is, in batches of :func:`raw_schema`.

    Empty fields are ``''``, never NULL. ``_source_line`` is the physical line on which the record starts; the
    header is line 1. Memory does not grow with the file. Who may stop before the end closes the generator.

    Args:
        source: a path, or a binary stream such as an S3 body, which is read once from front to back.
        contract: names the columns the header must have, in this order.
        file: the file's name, for messages.
        digest: when given, holds size and checksum of the stored bytes after the last batch.
        chunk_bytes: decompressed bytes handled at a time.

    Raises:
        FileDefect: the file is empty, its header is not the contract's, it is not UTF-8, the gzip container
            is cut off, or a record is broken. Batches before the defect have been yielded by then.
    """
    framing = Framing(file, tuple(column.source_name for column in contract.columns))
    schema = raw_schema(contract)
    # Closed here: left to the garbage collector, which may run in a thread that is about to start, the end of the
    # reading thread would be waited for while that one holds what it needs.
    with (
        open_stream(source, digest or Digest()) as stream,
        closing(chunks(stream, file, chunk_bytes)) as parts,
    ):
        _, body = check_header(parts, framing)
        records = 0
        for block in framing.blocks(chain((body,) if body else (), parts), first_line=2):
            records += len(block.lines)
            yield from parse_block(block, schema, framing)
    if not records and not contract.allow_empty:
        raise defect(
            file,
            "there are no rows below the header",
            "Fetch the file again; when a delivery may be empty, say `allowEmpty: true` in the contract.",
            line=2,
        )


def check_header(parts: Iterator[bytes], framing: Framing) -> tuple[bytes, bytes]:
    """The header's bytes, and the first of those that follow it.

    Raises:
        FileDefect: it has not exactly the contract's columns in their order; says which are missing or moved.
    """
    data = _first_line(parts, framing.file)
    body = _below_header(data.removeprefix(_BOM), framing)
    return data[: len(data) - len(body)], body


def _first_line(parts: Iterator[bytes], file: str) -> bytes:
    """Bytes that hold at least the header."""
    data = b""
    for part in parts:
        data += part
        if b"\n" in data or len(data) > _MAX_HEADER_BYTES:
            break
    if not data.removeprefix(_BOM).strip():
        raise defect(
            file, "the file is empty", "Fetch the file again; it should start with a header.", line=1
        )
    return data


def _below_header(data: bytes, framing: Framing) -> bytes:
    """What follows the header, which has exactly the contract's columns in their order.

    Raises:
        FileDefect: it has not; says which are missing, unknown or moved.
    """
    file, columns = framing.file, framing.columns
    header, _, body = data.partition(b"\n")
    try:
        text = header[:_MAX_HEADER_BYTES].decode("utf-8").removesuffix("\r")
        names = next(csv.reader([text], strict=True), [])
    except UnicodeDecodeError as error:
        raise defect(
            file,
            f"the header is not UTF-8 (byte 0x{header[error.start]:02X})",
            "Save the file as UTF-8, for example `iconv -f utf-16 -t utf-8 FILE > NEW`.",
            line=1,
        ) from error
    except csv.Error as error:
        problem = f"the header is not CSV ({error})"
        if "\r" in text:
            raise lone_return(file, line=1) from error
        raise defect(file, problem, f"It must be: {','.join(columns)}.", line=1) from error
    if tuple(names) != columns:
        problem, column = _header_problem(names, columns)
        hint = f"The header must be: {','.join(columns)}."
        raise defect(file, f"wrong header: {problem}", hint, line=1, column=column)
    return body


def _header_problem(names: list[str], columns: tuple[str, ...]) -> tuple[str, str]:
    """What is wrong with a header, and the column to look at first."""
    missing = [c for c in columns if c not in names]
    unknown = [n[:60] for n in names if n not in columns]
    if not missing and not unknown:
        moved = next((n for n, c in zip(names, columns, strict=False) if n != c), names[-1])
        return "the columns are in another order or repeated", moved
    parts = [f"missing {_listed(missing)}"] if missing else []
    parts += [f"unknown {_listed(unknown)}"] if unknown else []
    return "; ".join(parts), (missing or unknown)[0]


def _listed(names: list[str], most: int = 5) -> str:
    return ", ".join(map(repr, names[:most])) + (" …" if len(names) > most else "")


def parse_block(block: Block, schema: pa.Schema, framing: Framing) -> Iterator[pa.RecordBatch]:
    """The rows of a block, in the order of its records.

    Raises:
        FileDefect: it cannot be split into the contract's fields.
    """
    try:
        table = _split_fields(block, schema, _PARSE_BYTES)
    except pa.ArrowInvalid:
        # Also raised for a record longer than pyarrow's block: only what one large block refuses is a defect.
        try:
            table = _split_fields(block, schema, len(block.data) + 1)
        except pa.ArrowInvalid as error:
            raise _explained(block, framing, str(error)) from error
    if table.num_rows != len(block.lines):
        raise _explained(block, framing, f"{len(block.lines)} records but {table.num_rows} rows")
    numbered = table.append_column(schema.field(SOURCE_LINE), pa.array(block.lines))
    # One batch per block: a writer makes a row group of each, and few large ones are read faster.
    yield from numbered.cast(schema).combine_chunks().to_batches()


def _split_fields(block: Block, schema: pa.Schema, block_bytes: int) -> pa.Table:
    names = [name for name in schema.names if name != SOURCE_LINE]
    return pacsv.read_csv(
        cast(IO[bytes], pa.BufferReader(block.data)),
        read_options=pacsv.ReadOptions(column_names=names, block_size=block_bytes),
        # Without quotes in sight the parser need not look for them, which saves a third of its time.
        parse_options=pacsv.ParseOptions(
            quote_char='"' if block.quoted else False,
            newlines_in_values=block.quoted,
            # A line without anything is a record only when it may hold the one, empty, field.
            ignore_empty_lines=len(names) > 1,
        ),
        convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _explained(block: Block, framing: Framing, reason: str) -> FileDefect:
    return framing.defect_of(block) or defect(
        framing.file,
        f"cannot be split into fields ({reason})",
        "Export the file again as standard CSV (RFC 4180).",
        line=block.first_line,
    )
