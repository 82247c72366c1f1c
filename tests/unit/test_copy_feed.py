"""What COPY reads ends when all rows are read, however small the batches are."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest

from lakehouse.home.rows import _Feed


@pytest.mark.parametrize("batches", [1, 2, 3, 10])
def test_small_batches_are_not_taken_for_the_end(batches: int) -> None:
    schema = pa.schema([("a", pa.string())])
    made = [pa.record_batch([pa.array(["x"])], schema=schema) for _ in range(batches)]
    with _Feed(iter(made), schema) as feed:
        reader = io.BufferedReader(feed, 1 << 20)
        sent = b""
        while piece := reader.read(1 << 20):  # as psycopg2 does
            sent += piece
    row = b"\x00\x01\x00\x00\x00\x01x"
    assert sent.count(row) == feed.rows == batches
    assert sent.endswith(b"\xff\xff")
