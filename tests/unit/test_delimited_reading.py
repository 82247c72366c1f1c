"""The reader gives what Python's csv module gives, field for field, with physical lines, in flat memory."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.contract import Column, ColumnType, Contract, Project
from lakehouse.landing.delimited import read_batches
from lakehouse.landing.sample_olist import write_sample
from lakehouse.landing.stream import Digest

PIECES = (
    "a",
    "ç",
    "é 👍",
    '"',
    '""',
    ",",
    "\n",
    "\r\n",
    "\n\n",
    " ",
    "NULL",
    "NA",
    "0012",
    "\\",
    ";",
    "\t",
    "",
)


def contract(columns: int) -> Contract:
    text = ColumnType("text")
    fields = tuple(Column(f"c{n}", f"C{n}", text, "") for n in range(columns))
    return Contract("test", "nasty", "", "", "1", fields, (), file_name="nasty.csv", allow_empty=True)


def nasty_rows(seed: int, columns: int) -> list[list[str]]:
    dice = random.Random(seed)
    count = dice.choice([1, 2, 9, 300])
    return [
        ["".join(dice.choices(PIECES, k=dice.choice([0, 1, 1, 3, 9]))) for _ in range(columns)]
        for _ in range(count)
    ]


def as_csv(rows: list[list[str]], names: list[str], line_end: str, quoting: int, final_break: bool) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([names, *rows])
    text = out.getvalue()
    return (text if final_break else text.removesuffix(line_end)).encode()


def by_csv_module(data: bytes) -> tuple[list[list[str]], list[int]]:
    """Records and the physical lines they start on; a line ends with a line feed."""
    lines = data.decode("utf-8-sig").splitlines(keepends=True)
    taken = 0

    def physical() -> Iterator[str]:
        nonlocal taken
        for line in io.StringIO("".join(lines), newline="\n"):
            taken += 1
            yield line

    records, starts = [], []
    reader = csv.reader(physical(), strict=True)
    start = 1
    for record in reader:
        records.append(record)
        starts.append(start)
        start = taken + 1
    return records[1:], starts[1:]


def by_us(data: bytes | Path, table: Contract, chunk_bytes: int) -> tuple[list[list[str]], list[int]]:
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    batches = list(read_batches(source, table, table.file_name, chunk_bytes=chunk_bytes))
    if not batches:
        return [], []
    read = pa.Table.from_batches(batches)
    columns = [read[c.raw_name].to_pylist() for c in table.columns]
    lines: list[int] = read["_source_line"].to_numpy().tolist()
    return [[str(v) for v in r] for r in zip(*columns, strict=True)], lines


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("columns", [1, 3, 7])
def test_generated_files_are_read_as_the_csv_module_reads_them(columns: int, line_end: str) -> None:
    table = contract(columns)
    names = [c.source_name for c in table.columns]
    for seed in range(24):
        rows = nasty_rows(seed, columns)
        quoting = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)[seed % 2]
        data = as_csv(rows, names, line_end, quoting, final_break=seed % 3 != 0)
        expected = by_csv_module(data)
        # The smallest chunks cut through every kind of place; on a long file they would only take long.
        for chunk_bytes in (7 if len(rows) < 50 else 997, 101 if len(rows) < 50 else 4_099, 1 << 20):
            assert by_us(data, table, chunk_bytes) == expected, f"seed {seed}, chunks of {chunk_bytes}"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, orders=1_000)
    return folder


@pytest.mark.parametrize("chunk_bytes", [40_000, 8 << 20])
@pytest.mark.parametrize("name", [c.name for c in Project.load().tables("olist")])
def test_sample_files_are_read_as_the_csv_module_reads_them(
    name: str, chunk_bytes: int, sample: Path
) -> None:
    table = Project.load().contracts[f"olist_{name}"]
    path = sample / table.file_name
    assert by_us(path, table, chunk_bytes) == by_csv_module(path.read_bytes())


def test_columns_have_raw_names_and_empty_fields_are_empty_texts() -> None:
    table = contract(2)
    batch = next(read_batches(io.BytesIO(b'C0,C1\n,NA\n"",null\n'), table, "x"))
    assert batch.schema.names == ["c0", "c1", "_source_line"]
    assert batch.to_pylist() == [
        {"c0": "", "c1": "NA", "_source_line": 2},
        {"c0": "", "c1": "null", "_source_line": 3},
    ]


def test_a_field_longer_than_a_parser_block_is_read() -> None:
    long = "ab\n" * (2 << 20)
    data = f'C0,C1\n1,"{long}"\n2,x\n'.encode()
    batches = list(read_batches(io.BytesIO(data), contract(2), "x"))
    read = pa.Table.from_batches(batches)
    assert read["c1"].to_pylist() == [long, "x"]
    assert read["_source_line"].to_pylist() == [2, 3 + (2 << 20)]


def test_gzip_is_told_by_its_bytes_and_the_digest_is_of_the_stored_bytes(tmp_path: Path) -> None:
    plain = b"C0,C1\n" + b"1,2\n" * 10_000
    # Two members in a row, as `cat a.gz b.gz` makes them, are one file.
    stored = gzip.compress(plain[:20_000]) + gzip.compress(plain[20_000:])
    path = tmp_path / "no_suffix"
    path.write_bytes(stored)
    digest = Digest()
    rows = sum(b.num_rows for b in read_batches(path, contract(2), "x", digest))
    assert rows == 10_000
    assert (digest.size, digest.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())


_MEMORY_PROBE = """
import resource, sys
from tests.unit.test_delimited_reading import contract
from lakehouse.landing.delimited import read_batches
rows = sum(b.num_rows for b in read_batches(sys.argv[1], contract(8), "big.csv"))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    record = b'1234567890,abcdefgh,"quoted, text",0.12,"line\nbreak",x,y,20141021\n'

    def peak_kib(megabytes: int) -> int:
        path = tmp_path / f"{megabytes}.csv"
        block = record * ((1 << 20) // len(record))
        with path.open("wb") as out:
            out.write(b"C0,C1,C2,C3,C4,C5,C6,C7\n")
            out.writelines(block for _ in range(megabytes))
        root = Path(__file__).parents[2]
        run = subprocess.run(
            [sys.executable, "-c", _MEMORY_PROBE, str(path)],
            cwd=root, capture_output=True, text=True, check=True,
        )  # fmt: skip
        rows, peak = map(int, run.stdout.split())
        assert rows == megabytes * ((1 << 20) // len(record))
        return peak // (1024 if sys.platform == "darwin" else 1)

    small, large = peak_kib(30), peak_kib(90)
    assert large - small < 40 * 1024
