"""Pages in a folder: replaced as a whole, and nothing outside the folder can be read or written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lakehouse.errors import LakehouseError
from lakehouse.home.homes import S3Access
from lakehouse.home.pages import LocalPages, S3Pages, media_type, open_pages


@pytest.fixture
def pages(tmp_path: Path) -> LocalPages:
    (tmp_path / "secret.txt").write_text("secret")
    found = LocalPages(tmp_path / "pages")
    found.write({"index.html": b"front", "a/b.html": b"b"})
    (found.folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (found.folder / "up").symlink_to(tmp_path)
    return found


def test_what_is_written_is_read(pages: LocalPages) -> None:
    found = pages.read("a/b.html")
    assert found is not None
    assert found.data == b"b"
    assert list(pages.names()) == ["a/b.html", "index.html", "out.txt"]
    assert list(pages.names("a")) == ["a/b.html"]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "a/../../secret.txt",
        "a/../index.html",
        "/etc/passwd",
        "//etc/passwd",
        "..\\secret.txt",
        "out.txt",
        "up/secret.txt",
        "up/pages/index.html\0.png",
        "a",
        "a/",
        "",
        ".lock",
        "nothing.html",
        "x" * 5000,
        "x/" * 400 + "x",
    ],
)
def test_only_pages_are_read(pages: LocalPages, name: str) -> None:
    with pages._alone():
        assert pages.read(name) is None


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", ".hidden", ""])  # noqa: S108
def test_nothing_is_written_elsewhere(pages: LocalPages, name: str) -> None:
    with pytest.raises(LakehouseError):
        pages.write({name: b"x"})
    with pytest.raises(LakehouseError):
        pages.remove([name])


def test_removed_pages_leave_no_folders(pages: LocalPages) -> None:
    pages.write({"a/c/d.html": b"d"})
    pages.remove(["a/c/d.html", "a/c/never.html"])
    assert not (pages.folder / "a" / "c").exists()
    assert pages.read("a/b.html") is not None


def test_changes_at_once_are_all_made(pages: LocalPages) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(40):
            pool.submit(pages.change, "count", lambda found: str(int(found or b"0") + 1).encode())
    found = pages.read("count")
    assert found is not None
    assert found.data == b"40"


def test_a_place_is_a_folder_or_a_prefix(tmp_path: Path) -> None:
    access = S3Access("http://127.0.0.1:1", "k", "s")
    assert open_pages(tmp_path) == LocalPages(tmp_path)
    assert open_pages("s3://bucket/some/prefix/", access) == S3Pages("bucket", "some/prefix", access)
    for wrong in ("s3://bucket", "s3://bucket/", "s3:///prefix", "https://somewhere/pages"):
        with pytest.raises(LakehouseError):
            open_pages(wrong, access)


def test_content_types_are_the_same_on_every_machine() -> None:
    assert media_type("a/index.html") == "text/html; charset=utf-8"
    assert media_type("a.css") == "text/css; charset=utf-8"
    assert media_type("a.js") == "text/javascript; charset=utf-8"
    assert media_type("a.svg") == "image/svg+xml"
    assert media_type("a.json") == "application/json"
    assert media_type("a.unknown-to-all") == "application/octet-stream"
