"""A landed file of which some records are replaced keeps all other bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lakehouse.contract import Project
from lakehouse.errors import FileDefect
from lakehouse.landing import stream
from lakehouse.landing.delimited import read_batches
from lakehouse.landing.rewrite import rewrite
from lakehouse.layer.search import parquet_holds

CONTRACT = Project.load().contracts["olist_product_category_translation"]
HEADER = b"product_category_name,product_category_name_english\n"


def _without_secrets(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The records whose second field begins with a secret, with nothing there."""
    found = batch.filter(pc.starts_with(batch.column(1), "secret"))
    return found.set_column(1, batch.schema.field(1), pa.array([""] * found.num_rows, pa.string()))


def _rewritten(data: bytes, to: Path) -> tuple[bytes, int]:
    done = rewrite(io.BytesIO(data), CONTRACT, "file.csv", _without_secrets, to)
    written = to.read_bytes()
    assert (done.bytes, done.sha256) == (len(written), hashlib.sha256(written).hexdigest())
    return written, done.records


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'a,b\nc,secret\nd,"e ""f""\ng"\n', b'a,b\nc,\nd,"e ""f""\ng"\n'),
        (b'"a",secret\r\n"b","x"\r\n', b'a,\r\n"b","x"\r\n'),
        (b'a,"secret\nof two lines, and a comma"\nb,c', b"a,\nb,c"),
        (b'b,c\n"x, y",secret', b'b,c\n"x, y",'),
        (b"a,b\n", b"a,b\n"),
    ],
)
def test_only_records_that_are_replaced_change(before: bytes, after: bytes, tmp_path: Path) -> None:
    for head in (HEADER, b"\xef\xbb\xbf" + HEADER, HEADER.replace(b"\n", b"\r\n")):
        assert _rewritten(head + before, tmp_path / "new") == (head + after, before.count(b"secret"))


def test_a_compressed_file_stays_one_and_its_bytes_do_not_depend_on_the_time(tmp_path: Path) -> None:
    packed = gzip.compress(HEADER + b"a,secret\nb,c\n")
    first, records = _rewritten(packed, tmp_path / "one")
    assert (gzip.decompress(first), records) == (HEADER + b"a,\nb,c\n", 1)
    assert _rewritten(packed, tmp_path / "two")[0] == first


def test_files_of_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a block, every replaced record is found again at its place."""
    dice = random.Random(7)
    fields = ["plain", '"with ""quotes"""', '"two\nlines"', "", "secret", '"secret, of\nmany\nlines"']
    rows = [(f"{n:05d}", dice.choice(fields)) for n in range(3000)]
    data = HEADER + "".join(f"{a},{b}\n" for a, b in rows).encode()
    monkeypatch.setattr(stream, "CHUNK_BYTES", 1000)
    monkeypatch.setattr("lakehouse.landing.stream.chunks.__defaults__", (1000,))
    written, records = _rewritten(data, tmp_path / "new")
    kept = "".join(f"{a},{'' if 'secret' in b else b}\n" for a, b in rows).encode()
    assert written == HEADER + kept
    assert records == sum("secret" in b for _, b in rows)
    again = pa.Table.from_batches(read_batches(io.BytesIO(written), CONTRACT, "new"))
    assert again.column(0).to_pylist() == [a for a, _ in rows]


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileDefect):
        _rewritten(HEADER + b"a,b,c\n", tmp_path / "new")


def test_a_text_is_found_in_values_and_in_the_footer_of_a_parquet_file() -> None:
    def written(**columns: object) -> io.BytesIO:
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file, compression="zstd")  # type: ignore[arg-type]
        file.seek(0)
        return file

    words = [f"word {n}" for n in range(5000)]
    assert parquet_holds(written(a=[1] * 5000, b=words), "word 4321")
    assert not parquet_holds(written(a=[1] * 5000, b=words), "word 5001")
    packed = pa.array(["needle"] * 10).dictionary_encode()
    assert parquet_holds(written(a=packed), "needle")
