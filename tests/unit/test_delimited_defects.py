"""Broken files: each is refused with a message that names file, line, column and what to do."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.contract import Contract, Project
from lakehouse.errors import FileDefect
from lakehouse.landing.delimited import read_batches

DEFECTS = Path(__file__).parents[1] / "fixtures" / "defects"

#: file: (place, problem, next step)
REFUSED = {
    "empty.csv": (", line 1:", "is empty", "Fetch the file again"),
    "header_only.csv": (", line 2:", "no rows below the header", "allowEmpty"),
    "wrong_header.csv": (
        ", line 1, column payment_value:",
        "missing 'payment_value'; unknown 'payment_valor'",
        "must be: order_id,payment_sequential",
    ),
    "missing_column.csv": (", line 1, column payment_type:", "missing 'payment_type'", "must be: order_id,"),
    "reordered_header.csv": (", line 1, column payment_type:", "another order", "must be: order_id,"),
    "too_many_fields.csv": (
        ", line 4, column after payment_value:",
        "6 fields where 5 are expected",
        "quotes around the whole field",
    ),
    "too_few_fields.csv": (", line 3, column payment_installments:", "3 fields where 5", "needs its comma"),
    "unbalanced_quote.csv": (", line 4, column payment_type:", "still open at the end", "Close the quote"),
    "unbalanced_last_field.csv": (
        ", line 4, column payment_value:",
        "still open at the end",
        "Close the quote",
    ),
    "unbalanced_quote_before_others.csv": (
        ", line 4, column payment_type:",
        "(the quote before it is in line 2)",
        'Write a quote inside a field as ""',
    ),
    "quote_inside_field.csv": (
        ", line 3, column payment_type:",
        "a quote inside a field",
        "put the whole field",
    ),
    "text_after_quote.csv": (", line 3, column payment_type:", "text after a closing quote", "RFC 4180"),
    "not_utf8.csv": (", line 3, column payment_type:", "not UTF-8 (byte 0xE3)", "iconv"),
    "utf16.csv": (", line 1:", "the header is not UTF-8 (byte 0xFF)", "iconv"),
    "zero_byte.csv": (", line 3, column payment_type:", "a zero byte", "export it again"),
    "empty_line.csv": (", line 3:", "the line is empty", "Remove the empty line"),
    "old_mac_line_ends.csv": (", line 1:", "a carriage return without a line feed", "LF or CRLF"),
    "carriage_return_in_field.csv": (", line 3, column payment_type:", "a carriage return", "needs quotes"),
    "truncated.csv.gz": (":", "the gzip file is cut off", "gzip -t"),
    "damaged.csv.gz": (":", "the gzip file is damaged", "gzip -t"),
}
READ = {
    "bom_header.csv": [2, 3],
    "crlf.csv": [2, 3],
    "no_final_line_break.csv": [2, 3],
    "line_break_in_quotes.csv": [2, 3, 6],
    "duplicate_payment.csv": [2, 3, 4],
}


@pytest.fixture(scope="module")
def payments() -> Contract:
    """Payments, of a shop that has some every day."""
    return replace(Project.load().contracts["olist_order_payments"], allow_empty=False)


@pytest.mark.parametrize("chunk_bytes", [100, 8 << 20], ids=["small chunks", "one chunk"])
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_broken_file_is_refused_and_the_message_leads_to_the_place(
    name: str, chunk_bytes: int, payments: Contract
) -> None:
    place, problem, step = REFUSED[name]
    with pytest.raises(FileDefect) as caught:
        list(read_batches(DEFECTS / name, payments, name, chunk_bytes=chunk_bytes))
    assert caught.value.message.startswith(f"{name}{place}")
    assert problem in caught.value.message
    assert step in caught.value.hint


@pytest.mark.parametrize("chunk_bytes", [100, 8 << 20], ids=["small chunks", "one chunk"])
@pytest.mark.parametrize("name", sorted(READ))
def test_an_odd_but_sound_file_is_read(name: str, chunk_bytes: int, payments: Contract) -> None:
    table = pa.Table.from_batches(read_batches(DEFECTS / name, payments, name, chunk_bytes=chunk_bytes))
    assert table["_source_line"].to_pylist() == READ[name]
    assert table["payment_value"].to_pylist()[:2][0] == "120.50"
    assert table["order_id"].to_pylist()[0] == "a1f0c0de00000000000000000000000a"


def test_every_fixture_has_its_expectation() -> None:
    names = {p.name for p in DEFECTS.iterdir() if p.is_file()} - {"README.md", ".gitattributes"}
    assert names == REFUSED.keys() | READ.keys()


def test_line_breaks_and_doubled_quotes_arrive_as_written(payments: Contract) -> None:
    name = "line_break_in_quotes.csv"
    table = pa.Table.from_batches(read_batches(DEFECTS / name, payments, name))
    assert table["payment_type"].to_pylist()[1] == 'vou\n\r\ncher "x", y'


def test_a_defect_far_into_the_file_names_the_physical_line(payments: Contract) -> None:
    header = (DEFECTS / "header_only.csv").read_bytes()
    good = b'a,1,"two\nlines",1,10.00\n' * 30_000
    body = io.BytesIO(header + good + b"a,1,x,1\n" + good)
    with pytest.raises(FileDefect, match="line 60,002, column payment_value"):
        list(read_batches(body, payments, "far.csv", chunk_bytes=64 << 10))


def test_messages_never_quote_the_data(payments: Contract) -> None:
    for name in ("too_many_fields.csv", "text_after_quote.csv", "not_utf8.csv", "too_few_fields.csv"):
        with pytest.raises(FileDefect) as caught:
            list(read_batches(DEFECTS / name, payments, name))
        assert "c1f0c0de" not in str(caught.value)
        assert "voucher" not in str(caught.value)


def test_a_quote_that_is_never_closed_is_refused_before_the_whole_file_is_held(payments: Contract) -> None:
    header = (DEFECTS / "header_only.csv").read_bytes()

    class Endless(io.RawIOBase):
        """Begins with an open quote and goes on for 10 GB; counts what is read of it."""

        served = 0

        def read(self, size: int = -1, /) -> bytes:
            start = header + b'a,1,"' if not self.served else b""
            self.served += size
            return start + b"x" * (size - len(start)) if self.served < 10 << 30 else b""

    source = Endless()
    with pytest.raises(FileDefect, match=r"line 2, column payment_type: the quote opened here is not closed"):
        list(read_batches(source, payments, "endless.csv"))
    assert source.served < 100 << 20
