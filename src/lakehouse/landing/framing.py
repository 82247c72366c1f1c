"""Where records begin and end: the structure of RFC 4180, checked on whole chunks of bytes at once.

A quoted field may hold line breaks, so a record's physical line is not its number. Everything here follows
from the positions of quotes: a byte lies inside a quoted field when an odd number of quotes precedes it. That
holds as soon as every quote is where it may be, which is checked first. A field parser then only has to split
fields, and its number of rows is compared with the number of records found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lakehouse.errors import FileDefect
from lakehouse.landing.defects import defect
from lakehouse.landing.stream import CHUNK_BYTES

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


def blocks(parts: Iterator[bytes], file: str, columns: tuple[str, ...], first_line: int) -> Iterator[Block]:
    """Cut a stream of bytes into blocks of whole records.

    Args:
        parts: the bytes after the header.
        file: name for messages.
        columns: names for messages, in file order.
        first_line: physical line of the first byte.

    Raises:
        FileDefect: a quote that is not balanced, stands inside an unquoted field or is followed by text; a
            zero byte; a line that ends in a carriage return only; a record of more than a chunk's size.
    """
    rest = b""
    for part in parts:
        data = rest + part
        end = _checked_end(data, file, columns, first_line, at_end=False)
        if end:
            yield (block := _block(data[:end], first_line))
            first_line += _line_breaks(block.data)
        rest = data[end:]
    if rest:
        _checked_end(rest, file, columns, first_line, at_end=True)
        yield _block(rest, first_line)


def field_defect(block: Block, file: str, columns: tuple[str, ...]) -> FileDefect | None:
    """The first record of a block that has not one field for each column, or is not UTF-8.

    Only called when a parser has refused the block, to say where and why.
    """
    try:
        block.data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _place(block.data, error.start, columns, block.first_line)
        return defect(
            file,
            f"not UTF-8 (byte 0x{block.data[error.start]:02X})",
            "Save the file as UTF-8, for example `iconv -f latin1 -t utf-8 FILE > NEW`.",
            line=line,
            column=column,
        )
    starts, commas = _starts(block.data), _outside(block.data, _COMMA)
    bounds = np.searchsorted(commas, np.append(starts, len(block.data)))
    counts = np.diff(bounds) + 1
    wrong = np.flatnonzero(counts != len(columns))
    empty = _empty_records(block.data, starts)
    if len(columns) > 1 and empty.size and (not wrong.size or empty[0] <= wrong[0]):
        return defect(
            file, "the line is empty", "Remove the empty line.", line=int(block.lines[empty[0]])
        )
    if not wrong.size:
        return None
    record = int(wrong[0])
    return _count_defect(file, columns, int(counts[record]), int(block.lines[record]))


def _count_defect(file: str, columns: tuple[str, ...], found: int, line: int) -> FileDefect:
    if found > len(columns):
        return defect(
            file,
            f"{found} fields where {len(columns)} are expected",
            "A comma inside a text needs quotes around the whole field.",
            line=line,
            column=f"after {columns[-1]}",
        )
    return defect(
        file,
        f"{found} fields where {len(columns)} are expected",
        "The line is cut off or lacks separators; every column needs its comma, also when it is empty.",
        line=line,
        column=columns[found],
    )


def _checked_end(data: bytes, file: str, columns: tuple[str, ...], first_line: int, *, at_end: bool) -> int:
    """Check every quote, zero byte and carriage return; return where the last whole record ends."""
    quotes = _positions(data, _QUOTE)
    _check_quotes(data, quotes, file, columns, first_line, at_end=at_end)
    _check_bytes(data, file, columns, first_line, at_end=at_end)
    if at_end:
        if quotes.size % 2:
            raise _open_quote(data, int(quotes[-1]), "is still open at the end of the file", file, columns, first_line)
        return len(data)
    end = _last_record_end(data, quotes)
    if end == 0 and len(data) > CHUNK_BYTES:
        if quotes.size % 2:
            size = f"is not closed within {len(data) >> 20} MiB"
            raise _open_quote(data, int(quotes[-1]), size, file, columns, first_line)
        raise defect(
            file,
            f"no line ends within {len(data) >> 20} MiB",
            "This does not look like a CSV file; check what was downloaded.",
            line=first_line,
        )
    return end


def _check_quotes(
    data: bytes, quotes: _Positions, file: str, columns: tuple[str, ...], first_line: int, *, at_end: bool
) -> None:
    """Every opening quote starts a field (or doubles the one before it), every closing quote ends one."""
    if not quotes.size:
        return
    view = np.frombuffer(data, np.uint8)
    opening, closing = quotes[0::2], quotes[1::2]
    before = np.where(opening > 0, view[opening - 1], _LF)
    bad_opening = opening[~np.isin(before, (_COMMA, _LF, _QUOTE))]
    # What follows the last byte is known at the end of the file only; until then it is looked at again later.
    closing = closing[closing < len(data) - 1]
    bad_closing = closing[~np.isin(view[closing + 1], (_COMMA, _LF, _CR, _QUOTE))]
    bad = min((int(b[0]) for b in (bad_opening, bad_closing) if b.size), default=None)
    if bad is None:
        return
    line, column = _place(data, bad, columns, first_line)
    if bad_opening.size and bad == bad_opening[0]:
        raise defect(
            file, "a quote inside a field that does not start with one", _DOUBLE_QUOTES, line=line, column=column
        )
    opened = int(quotes[np.searchsorted(quotes, bad) - 1])
    start = first_line + data.count(b"\n", 0, opened)
    where = "" if start == line else f" (the field's quote was opened in line {start:,})"
    raise defect(file, f"text after a closing quote{where}", _DOUBLE_QUOTES, line=line, column=column)


def _check_bytes(data: bytes, file: str, columns: tuple[str, ...], first_line: int, *, at_end: bool) -> None:
    zero = data.find(b"\0")
    if zero >= 0:
        line, column = _place(data, zero, columns, first_line)
        raise defect(
            file,
            "a zero byte, which no text may hold",
            "The file is damaged or not text (UTF-16?); export it again as UTF-8.",
            line=line,
            column=column,
        )
    if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
        return
    view = np.frombuffer(data, np.uint8)
    returns = _outside(data, _CR)
    if not at_end:
        returns = returns[returns < len(data) - 1]
    lone = returns[(returns == len(data) - 1) | (view[np.minimum(returns + 1, len(data) - 1)] != _LF)]
    if lone.size:
        line, column = _place(data, int(lone[0]), columns, first_line)
        raise defect(
            file,
            "a carriage return without a line feed",
            "Lines must end in LF or CRLF; convert old Mac line ends with `tr '\\r' '\\n'`, and put a text that "
            "holds one in quotes.",
            line=line,
            column=column,
        )


def _open_quote(
    data: bytes, quote: int, state: str, file: str, columns: tuple[str, ...], first_line: int
) -> FileDefect:
    line, column = _place(data, quote, columns, first_line)
    return defect(
        file,
        f"the quote opened here {state}",
        "Close the quote; when the file is cut off, fetch it again.",
        line=line,
        column=column,
    )


def _block(data: bytes, first_line: int) -> Block:
    if b'"' not in data:
        records = _line_breaks(data) + (not data.endswith(b"\n"))
        return Block(data, first_line, np.arange(first_line, first_line + records, dtype=np.int64), quoted=False)
    breaks = _positions(data, _LF)
    ends = np.flatnonzero(np.searchsorted(_positions(data, _QUOTE), breaks) % 2 == 0)
    if data.endswith(b"\n"):
        ends = ends[:-1]
    lines = first_line + np.concatenate((np.zeros(1, np.int64), ends + 1))
    return Block(data, first_line, lines, quoted=True)


def _last_record_end(data: bytes, quotes: _Positions) -> int:
    """One past the last line feed that lies outside quotes; 0 when there is none."""
    end = data.rfind(b"\n")
    while end >= 0:
        position = int(np.searchsorted(quotes, end))
        if position % 2 == 0:
            return end + 1
        # Inside a quoted field: go on before the quote that opened it.
        end = data.rfind(b"\n", 0, int(quotes[position - 1]))
    return 0


def _place(data: bytes, offset: int, columns: tuple[str, ...], first_line: int) -> tuple[int, str]:
    """Physical line and column name of a byte; everything before it is well-formed."""
    before = data[:offset]
    breaks = _outside(before, _LF)
    start = int(breaks[-1]) + 1 if breaks.size else 0
    index = int(_outside(before[start:], _COMMA).size)
    column = columns[index] if index < len(columns) else f"after {columns[-1]}"
    return first_line + before.count(b"\n"), column


def _starts(data: bytes) -> _Positions:
    ends = _outside(data, _LF) + 1
    return np.concatenate((np.zeros(1, np.int64), ends[ends < len(data)]))


def _empty_records(data: bytes, starts: _Positions) -> _Positions:
    view = np.frombuffer(data, np.uint8)
    after = np.minimum(starts + 1, len(data) - 1)
    return np.flatnonzero((view[starts] == _LF) | ((view[starts] == _CR) & (view[after] == _LF)))


def _outside(data: bytes, byte: int) -> _Positions:
    """Positions of a byte outside quoted fields."""
    found = _positions(data, byte)
    return found[np.searchsorted(_positions(data, _QUOTE), found) % 2 == 0]


def _positions(data: bytes, byte: int) -> _Positions:
    if bytes((byte,)) not in data:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.frombuffer(data, np.uint8) == byte)


def _line_breaks(data: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == _LF))
