"""Pages on S3: changes of several writers, and a gate that writes there what it writes into a folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lakehouse.contract import Project
from lakehouse.engine.session import open_session
from lakehouse.home.homes import Homes
from lakehouse.home.pages import Pages, open_pages
from lakehouse.quality.docs import docs_target
from lakehouse.quality.gate import accounting_subject, run_gate

pytestmark = pytest.mark.servers


@pytest.fixture
def pages(homes: Homes) -> Pages:
    return open_pages(f"s3://{homes.bucket}/some/data-docs", homes.s3)


def test_what_is_written_is_read_with_its_type(homes: Homes, pages: Pages) -> None:
    pages.write({f"a/{n}.html": b"page" for n in range(30)} | {"b.css": b"b{}"})
    found = pages.read("a/7.html")
    assert found is not None
    assert found.data == b"page"
    assert len(list(pages.names())) == 31
    assert len(list(pages.names("a"))) == 30
    stored = homes.s3_client().head_object(Bucket=homes.bucket, Key="some/data-docs/b.css")
    assert stored["ContentType"] == "text/css; charset=utf-8"
    pages.remove([f"a/{n}.html" for n in range(30)])
    assert list(pages.names()) == ["b.css"]


def test_only_what_is_below_the_prefix_is_read(homes: Homes, pages: Pages) -> None:
    homes.s3_client().put_object(Bucket=homes.bucket, Key="secret.txt", Body=b"secret")
    for name in ("../../secret.txt", "../secret.txt", "/secret.txt", "secret.txt", "", ".hidden"):
        assert pages.read(name) is None


def test_changes_at_once_are_all_made(pages: Pages) -> None:
    with ThreadPoolExecutor(6) as pool:
        done = [
            pool.submit(pages.change, "count", lambda found: str(int(found or b"0") + 1).encode())
            for _ in range(24)
        ]
    assert [future.exception() for future in done if future.exception()] == []
    found = pages.read("count")
    assert found is not None
    assert found.data == b"24"


def test_a_gate_writes_its_pages_there(homes: Homes, pages: Pages, tmp_path: Path) -> None:
    project = Project.load()
    for place in (f"s3://{homes.bucket}/some/data-docs", str(tmp_path)):
        target = docs_target(project, place, homes.s3)
        assert target is not None
        with open_session(None) as session:
            session.table(
                "accounts",
                "select 't' as table_name, 'b' as batch_id, 2 as read_rows, 1 as published_rows, "
                "1 as quarantined_rows, 0 as duplicate_rows, 0 as conflicting_rows, 0.0 as tolerance",
            )
            subjects = [accounting_subject("accounts")]
            run_gate(
                session, subjects, layer="silver", partition_key="2018-01-01", source="olist", docs=target
            )
    written = {name.split("/")[0] for name in pages.names()}
    assert written == {p.name for p in tmp_path.iterdir() if not p.name.startswith(".")}
    page = pages.read("gates/olist/silver/2018-01-01.html")
    assert page is not None
    assert b'data-table="accounting" data-state="blocked"' in page.data
    assert docs_target(project, "", None) is None
