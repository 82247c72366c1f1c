"""Where records begin and end: the structure of RFC 4180, checked on whole chunks of bytes at once.

A quoted field may hold line breaks, so a record's physical line is not its number. Everything here follows
from the positions of quotes: a byte lies inside a quoted field when an odd number of quotes precedes it. That
holds as soon as every quote is where it may be, which is checked first. A field parser then only has to split
fields, and its number of rows is compared with the number of records found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from lakehouse.errors import FileDefect
from lakehouse.landing.defects import defect, lone_return

#: A quote that is never closed makes the rest of the file one record; it is refused at this size.
MAX_RECORD_BYTES = 16 << 20

_LF, _CR, _QUOTE, _COMMA = b'\n\r",'
_Positions = npt.NDArray[np.int64]

_DOUBLE_QUOTES = (
    'Write a quote inside a field as "" and put the whole field in quotes, or export the file again as '
    "standard CSV (RFC 4180)."
)


@dataclass(frozen=True)
class Block:
    """Whole records of one file.

    Attributes:
        data: the bytes, from the start of a record to the end of a record.
        first_line: physical line of the first byte.
        lines: physical line on which each record starts; one entry per record.
        quoted: whether there is any quote in ``data``.
    """

    data: bytes
    first_line: int
    lines: npt.NDArray[np.int64]
    quoted: bool


@dataclass(frozen=True)
class Framing:
    """Cuts one file into blocks of whole records.

    Attributes:
        file: its name, for messages.
        columns: the names in its header, for messages and for the number of fields.
    """

    file: str
    columns: tuple[str, ...]

    def blocks(self, parts: Iterator[bytes], first_line: int) -> Iterator[Block]:
        """Blocks of about the size of a part.

        Args:
            parts: the bytes after the header.
            first_line: physical line of the first byte.

        Raises:
            FileDefect: a quote that is not balanced, stands inside an unquoted field or is followed by text;
                a zero byte; a line that ends in a carriage return only; a record above the size limit.
        """
        rest = b""
        for part in parts:
            data = rest + part
            end = self._last_record_end(_Chunk(data, first_line, last=False))
            if end:
                block = _block(data[:end], first_line)
                yield block
                first_line += _line_breaks(block.data)
            rest = data[end:]
        if rest:
            self._check_to_the_end(_Chunk(rest, first_line, last=True))
            yield _block(rest, first_line)

    def defect_of(self, block: Block) -> FileDefect | None:
        """The first record of a block that has not one field per column, or is not UTF-8; None without one.

        Only called when a parser has refused the block, to say where and why.
        """
        chunk = _Chunk(block.data, block.first_line, last=True)
        try:
            block.data.decode("utf-8")
        except UnicodeDecodeError as error:
            return self._at(
                chunk,
                error.start,
                f"not UTF-8 (byte 0x{block.data[error.start]:02X})",
                "Save the file as UTF-8, for example `iconv -f latin1 -t utf-8 FILE > NEW`.",
            )
        starts = chunk.record_starts()
        starts = starts[starts < len(block.data)]
        bounds = np.searchsorted(chunk.outside(_COMMA), np.append(starts, len(block.data)))
        counts = np.diff(bounds) + 1
        wrong = np.flatnonzero(counts != len(self.columns))
        if not wrong.size:
            return None
        record = int(wrong[0])
        return self._count_defect(block, record, int(starts[record]), int(counts[record]))

    def _count_defect(self, block: Block, record: int, start: int, found: int) -> FileDefect:
        line, problem = int(block.lines[record]), f"{found} fields where {len(self.columns)} are expected"
        if block.data[start : start + 1] in {b"\n", b"\r"}:
            return defect(self.file, "the line is empty", "Remove the empty line.", line=line)
        if found > len(self.columns):
            hint = "A comma inside a text needs quotes around the whole field."
        else:
            hint = "The line is cut off or lacks commas; every column needs its comma, also when it is empty."
        return defect(self.file, problem, hint, line=line, column=self._column(found))

    def _check_to_the_end(self, chunk: _Chunk) -> None:
        self._check_quotes(chunk)
        self._check_bytes(chunk)
        if chunk.quotes.size % 2:
            raise self._open_quote(chunk, "is still open at the end of the file")

    def _last_record_end(self, chunk: _Chunk) -> int:
        """Check what can be checked of a chunk; return where its last whole record ends, 0 for nowhere."""
        self._check_quotes(chunk)
        self._check_bytes(chunk)
        end = chunk.last_record_end()
        if len(chunk.data) - end <= MAX_RECORD_BYTES:
            return end
        limit = f"within {MAX_RECORD_BYTES >> 20} MiB"
        if chunk.quotes.size % 2:
            raise self._open_quote(chunk, f"is not closed {limit}")
        raise defect(
            self.file,
            f"the line does not end {limit}",
            "This does not look like a CSV file; check what was downloaded.",
            line=chunk.first_line,
        )

    def _check_quotes(self, chunk: _Chunk) -> None:
        """Every opening quote starts a field (or doubles the one before it), every closing quote ends one."""
        quotes, view = chunk.quotes, chunk.view
        if not quotes.size:
            return
        opening, closing = quotes[0::2], quotes[1::2]
        before = np.where(opening > 0, view[opening - 1], _LF)
        bad_opening = opening[~np.isin(before, (_COMMA, _LF, _QUOTE))]
        # What follows the last byte is known at the file's end only; until then it is looked at again later.
        closing = closing[closing < len(view) - 1]
        bad_closing = closing[~np.isin(view[closing + 1], (_COMMA, _LF, _CR, _QUOTE))]
        bad = min((int(b[0]) for b in (bad_opening, bad_closing) if b.size), default=None)
        if bad is None:
            return
        problem = "a quote inside a field that does not start with one"
        if not bad_opening.size or bad != bad_opening[0]:
            opened = int(quotes[np.searchsorted(quotes, bad) - 1])
            line, start = chunk.line(bad), chunk.line(opened)
            problem = "text after a closing quote"
            problem += "" if start == line else f" (the quote before it is in line {start:,})"
        raise self._at(chunk, bad, problem, _DOUBLE_QUOTES)

    def _check_bytes(self, chunk: _Chunk) -> None:
        data = chunk.data
        zero = data.find(b"\0")
        if zero >= 0:
            hint = "The file is damaged or not text (UTF-16?); export it again as UTF-8."
            raise self._at(chunk, zero, "a zero byte, which no text may hold", hint)
        if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
            return
        returns = chunk.outside(_CR)
        last = returns == len(data) - 1
        followed = chunk.view[np.where(last, 0, returns + 1)] == _LF
        lone = returns[np.where(last, chunk.last, ~followed)]
        if lone.size:
            line, column = self._place(chunk, int(lone[0]))
            raise lone_return(self.file, line, column)

    def _open_quote(self, chunk: _Chunk, state: str) -> FileDefect:
        hint = "Close the quote; when the file is cut off, fetch it again."
        return self._at(chunk, int(chunk.quotes[-1]), f"the quote opened here {state}", hint)

    def _at(self, chunk: _Chunk, offset: int, problem: str, hint: str) -> FileDefect:
        line, column = self._place(chunk, offset)
        return defect(self.file, problem, hint, line=line, column=column)

    def _place(self, chunk: _Chunk, offset: int) -> tuple[int, str]:
        """Line and column of a byte of a chunk that is well-formed up to there."""
        before = _Chunk(chunk.data[:offset], chunk.first_line, last=True)
        field = int(np.count_nonzero(before.outside(_COMMA) >= before.record_starts()[-1]))
        return chunk.line(offset), self._column(field)

    def _column(self, index: int) -> str:
        return self.columns[index] if index < len(self.columns) else f"after {self.columns[-1]}"


class _Chunk:
    """Bytes that start with a record, and where their quotes are. ``last``: the file ends with them."""

    def __init__(self, data: bytes, first_line: int, *, last: bool) -> None:
        self.data = data
        self.first_line = first_line
        self.last = last
        self.view = np.frombuffer(data, np.uint8)
        self.quotes = _positions(data, _QUOTE)

    def outside(self, byte: int) -> _Positions:
        """Positions of a byte outside quoted fields."""
        found = _positions(self.data, byte)
        return cast(_Positions, found[np.searchsorted(self.quotes, found) % 2 == 0])

    def record_starts(self) -> _Positions:
        """Where records start; the last entry is the end of the data when that ends with a record."""
        return np.concatenate((np.zeros(1, np.int64), self.outside(_LF) + 1))

    def last_record_end(self) -> int:
        """One past the last line feed outside quotes; 0 when there is none."""
        end = self.data.rfind(b"\n")
        while end >= 0:
            before = int(np.searchsorted(self.quotes, end))
            if before % 2 == 0:
                return end + 1
            # Inside a quoted field: go on before the quote that opened it.
            end = self.data.rfind(b"\n", 0, int(self.quotes[before - 1]))
        return 0

    def line(self, offset: int) -> int:
        """Physical line of a byte."""
        return self.first_line + self.data.count(b"\n", 0, offset)


def record_bounds(block: Block) -> _Positions:
    """Where the records of a block begin; the last entry is the end of its bytes."""
    starts = _Chunk(block.data, block.first_line, last=True).record_starts()
    return np.append(starts[starts < len(block.data)], len(block.data))


def _block(data: bytes, first_line: int) -> Block:
    if b'"' not in data:
        records = _line_breaks(data) + (not data.endswith(b"\n"))
        lines = np.arange(first_line, first_line + records, dtype=np.int64)
        return Block(data, first_line, lines, quoted=False)
    breaks = _positions(data, _LF)
    ends = np.flatnonzero(np.searchsorted(_positions(data, _QUOTE), breaks) % 2 == 0)
    if data.endswith(b"\n"):
        ends = ends[:-1]
    lines = first_line + np.concatenate((np.zeros(1, np.int64), ends + 1))
    return Block(data, first_line, lines, quoted=True)


def _positions(data: bytes, byte: int) -> _Positions:
    if bytes((byte,)) not in data:
        return np.empty(0, np.int64)
    return cast(_Positions, np.flatnonzero(np.frombuffer(data, np.uint8) == byte))


def _line_breaks(data: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == _LF))
