"""The one reader of landed CSV files: strict, streaming, everything as text.

pyarrow splits the fields, 16 MiB at a time; what it lets pass (a quote that is never closed, text after a
closing quote, zero bytes, empty lines) is checked on the bytes by :mod:`lakehouse.landing.framing`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain

import pyarrow as pa
import pyarrow.csv as pacsv

from lakehouse.contract import Contract
from lakehouse.errors import FileDefect
from lakehouse.landing.defects import defect
from lakehouse.landing.framing import Block, blocks, field_defect
from lakehouse.landing.stream import Digest, Source, chunks, open_stream

SOURCE_LINE = "_source_line"
_BOM = b"\xef\xbb\xbf"
_PARSE_BYTES = 4 << 20


def raw_schema(contract: Contract) -> pa.Schema:
    """What :func:`read_batches` yields: every column as text under its RAW name, then ``_source_line``."""
    fields = [pa.field(column.raw_name, pa.string(), nullable=False) for column in contract.columns]
    return pa.schema([*fields, pa.field(SOURCE_LINE, pa.int64(), nullable=False)])


def read_batches(
    source: Source, contract: Contract, file: str, digest: Digest | None = None
) -> Iterator[pa.RecordBatch]:
    """Read a CSV file (plain or gzip) as it is, in batches of :func:`raw_schema`.

    Empty fields are ``''``, never NULL. ``_source_line`` is the physical line on which the record starts; the
    header is line 1. Memory does not grow with the file.

    Args:
        source: a path, or a binary stream such as an S3 body, which is read once from front to back.
        contract: names the columns the header must have, in this order.
        file: the file's name, for messages.
        digest: when given, holds size and checksum of the stored bytes after the last batch.

    Raises:
        FileDefect: the file is empty, its header is not the contract's, it is not UTF-8, the gzip container is
            cut off, or a record is broken. Batches before the defect have been yielded by then.
    """
    columns = tuple(column.source_name for column in contract.columns)
    schema = raw_schema(contract)
    with open_stream(source, digest or Digest()) as stream:
        parts = chunks(stream, file)
        first = next(parts, b"")
        header, body = _split_header(first.removeprefix(_BOM), file)
        _check_header(header, columns, file)
        records = 0
        for block in blocks(chain((body,) if body else (), parts), file, columns, first_line=2):
            records += len(block.lines)
            yield from _parse(block, schema, columns, file)
    if not records and not contract.allow_empty:
        raise defect(
            file,
            "there are no rows below the header",
            "Fetch the file again; when a delivery may be empty, say `allowEmpty: true` in the contract.",
            line=2,
        )


def _split_header(data: bytes, file: str) -> tuple[bytes, bytes]:
    if not data.strip():
        raise defect(file, "the file is empty", "Fetch the file again; it should start with a header.", line=1)
    header, _, body = data.partition(b"\n")
    return header.removesuffix(b"\r"), body


def _check_header(header: bytes, columns: tuple[str, ...], file: str) -> None:
    """The header has exactly the contract's columns in their order.

    Raises:
        FileDefect: it has not; says which are missing, unknown or moved.
    """
    try:
        names = next(csv.reader([header.decode("utf-8")], strict=True), [])
    except UnicodeDecodeError as error:
        raise defect(
            file,
            f"the header is not UTF-8 (byte 0x{header[error.start]:02X})",
            "Save the file as UTF-8, for example `iconv -f utf-16 -t utf-8 FILE > NEW`.",
            line=1,
        ) from error
    except csv.Error as error:
        raise defect(file, f"the header is not CSV ({error})", "Restore the original header.", line=1) from error
    if tuple(names) == columns:
        return
    expected = f"The header must be: {','.join(columns)}."
    missing = [c for c in columns if c not in names]
    unknown = [n for n in names if n not in columns]
    if missing or unknown:
        problem = "; ".join(
            f"{word} {', '.join(repr(n[:60]) for n in found[:5])}{' …' if len(found) > 5 else ''}"
            for word, found in (("missing", missing), ("unknown", unknown))
            if found
        )
        place = missing[0] if missing else unknown[0][:60]
        raise defect(file, f"wrong header: {problem}", expected, line=1, column=place)
    moved = next((n for n, c in zip(names, columns, strict=False) if n != c), names[-1])
    raise defect(file, "wrong header: the columns are in another order or repeated", expected, line=1, column=moved)


def _parse(block: Block, schema: pa.Schema, columns: tuple[str, ...], file: str) -> Iterator[pa.RecordBatch]:
    try:
        table = _split_fields(block, schema, _PARSE_BYTES)
    except pa.ArrowInvalid:
        # Also raised for a record longer than pyarrow's block: only what one large block refuses is a defect.
        try:
            table = _split_fields(block, schema, len(block.data) + 1)
        except pa.ArrowInvalid as error:
            raise _explained(block, columns, file, str(error)) from error
    if table.num_rows != len(block.lines):
        raise _explained(block, columns, file, f"{len(block.lines)} records but {table.num_rows} rows")
    lines = pa.array(block.lines)
    numbered = table.append_column(schema.field(SOURCE_LINE), lines)
    yield from numbered.cast(schema).to_batches()


def _split_fields(block: Block, schema: pa.Schema, block_bytes: int) -> pa.Table:
    names = [name for name in schema.names if name != SOURCE_LINE]
    return pacsv.read_csv(
        pa.BufferReader(block.data),
        read_options=pacsv.ReadOptions(column_names=names, block_size=block_bytes),
        # Without quotes in sight the parser need not look for them: half as long again.
        parse_options=pacsv.ParseOptions(
            quote_char='"' if block.quoted else False,
            newlines_in_values=block.quoted,
            # A line without anything is a record only when it may hold the one, empty, field.
            ignore_empty_lines=len(names) > 1,
        ),
        convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _explained(block: Block, columns: tuple[str, ...], file: str, reason: str) -> FileDefect:
    found = field_defect(block, file, columns)
    return found or defect(
        file, f"cannot be split into fields ({reason})", "Export the file again as CSV.", line=block.first_line
    )
