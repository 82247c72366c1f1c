"""What the sample generators share: numbers that are the same everywhere, and files written in one go."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.errors import LakehouseError

#: Says which files of a folder were generated, so that a newer sample may replace them.
NOTE = "_sample.json"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.str_]
Times = npt.NDArray[np.datetime64]


class Dice:
    """Random numbers from a seed, the same with every release of numpy.

    numpy promises that for the bits of a bit generator, not for the distributions made of them. So they are
    made here, by plain arithmetic.
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def raw(self, size: int) -> npt.NDArray[np.uint64]:
        """64 random bits each."""
        return self._bits.random_raw(size)

    def uniform(self, size: int) -> Floats:
        """Numbers in [0, 1)."""
        return (self.raw(size) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def integers(self, size: int, low: int, high: int) -> Ints:
        """Whole numbers, low ≤ n < high."""
        return low + (self.uniform(size) * (high - low)).astype(np.int64)

    def weighted(self, size: int, weights: Sequence[float]) -> Ints:
        """Positions in ``weights``, each as often as its weight says."""
        edges = np.cumsum(np.asarray(weights, np.float64))
        return np.searchsorted(edges[:-1] / edges[-1], self.uniform(size), side="right").astype(np.int64)

    def curve(self, size: int, quantiles: Mapping[float, float]) -> Floats:
        """Numbers with these quantiles (``{0: least, .5: median, 1: most}``), straight lines between them."""
        return np.interp(self.uniform(size), list(quantiles), list(quantiles.values()))

    def chance(self, size: int, share: float) -> Flags:
        """True for about this share."""
        return self.uniform(size) < share

    def order(self, size: int) -> Ints:
        """The numbers 0 … size-1 in random order."""
        return np.argsort(self.raw(size), kind="stable").astype(np.int64)

    def hex(self, size: int, digits: int = 32) -> Texts:
        """Hash-like texts of 8, 16 or 32 lower-case hexadecimal digits."""
        words = -(-digits // 16)
        text = self.raw(size * words).astype(">u8").tobytes().hex().encode()
        rows = np.frombuffer(text, f"S{words * 16}")
        return rows.astype(f"U{words * 16}").astype(f"U{digits}")


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write generated files and a note of what was generated; another's files are never overwritten.

    Raises:
        LakehouseError: a file of that name is there which is neither this sample nor an earlier one.
    """
    made = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    earlier = _noted(folder / NOTE)
    foreign = [
        name for name in files if _checksum(folder / name) not in {None, made[name], earlier.get(name)}
    ]
    if foreign:
        raise LakehouseError(
            f"{folder / foreign[0]} is there already and is not a sample; it is left as it is.",
            "Land the files that are there, or move them away to get a sample.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".sample-", dir=folder))
    note = {"note": "These files are a generated sample.", "sha256": {**earlier, **made}}
    try:
        for name, data in files.items():
            (work / name).write_bytes(data)
        (work / NOTE).write_text(json.dumps(note, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        for name in (*files, NOTE):
            (work / name).replace(folder / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _noted(path: Path) -> dict[str, str]:
    """Checksums of the files an earlier sample wrote here."""
    if not path.exists():
        return {}
    noted = json.loads(path.read_text(encoding="utf-8"))["sha256"]
    return {str(name): str(checksum) for name, checksum in noted.items()}


def _checksum(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def csv_bytes(
    frame: pl.DataFrame,
    *,
    quote_digits: Sequence[str] = (),
    quote_header: bool = False,
    final_line_break: bool = True,
) -> bytes:
    """A frame of texts as CSV in the styles of the published files.

    Args:
        frame: only text columns; '' for nothing.
        quote_digits: columns whose values are quoted when they begin with a digit.
        quote_header: whether all names in the header are quoted.
        final_line_break: whether the last line ends with a line break.
    """
    header = ",".join(f'"{name}"' if quote_header else name for name in frame.columns)
    body = frame.select(csv_record(frame.columns, quote_digits=quote_digits).str.join("\n")).item()
    return f"{header}\n{body}{chr(10) if final_line_break else ''}".encode()


def csv_record(columns: Sequence[str], *, quote_digits: Sequence[str] = ()) -> pl.Expr:
    """A row of text columns as one CSV record, without its line break; the arguments are those of csv_bytes."""
    return pl.concat_str([_quoted(name, digits=name in quote_digits) for name in columns], separator=",")


def _quoted(name: str, *, digits: bool) -> pl.Expr:
    column = pl.col(name)
    needs = column.str.contains(r'[",\r\n]')
    if digits:
        needs |= column.str.contains(r"^[0-9]")
    escaped = pl.concat_str(pl.lit('"'), column.str.replace_all('"', '""', literal=True), pl.lit('"'))
    return pl.when(needs).then(escaped).otherwise(column)


def gzip_bytes(data: bytes) -> bytes:
    """Compressed without name and time, so that the same data give the same bytes with the same zlib."""
    return gzip.compress(data, compresslevel=6, mtime=0)


def numbered(count: Ints) -> Ints:
    """1 … n within each group, for groups of the given sizes."""
    ends = np.cumsum(count)
    return np.arange(1, int(ends[-1]) + 1) - np.repeat(ends - count, count)


def written(times: Times) -> Texts:
    """``YYYY-MM-DD HH:MM:SS``, '' for none."""
    text = np.char.replace(np.datetime_as_string(times.astype("datetime64[s]")), "T", " ")
    return np.where(np.isnat(times), "", text)


def money(cents: Ints) -> Texts:
    """Amounts with two decimals."""
    whole, part = (cents // 100).astype(str), np.char.zfill((cents % 100).astype(str), 2)
    return np.char.add(np.char.add(whole, "."), part)


def degrees(values: Floats) -> pl.Series:
    """Coordinates with all their digits."""
    return pl.Series(values).cast(pl.String)


def zips(values: Ints) -> Texts:
    """Zip prefixes of five digits."""
    return np.char.zfill(values.astype(str), 5)


def blanked(values: Ints, blank: Flags) -> Texts:
    """Numbers as text, '' where ``blank``."""
    return np.where(blank, "", values.astype(str))
