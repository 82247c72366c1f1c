"""The files of the Great Expectations project are what contracts and gold headers say."""

from __future__ import annotations

import json

import pytest

from lakehouse.compile.suites import suite_files
from lakehouse.contract import Project


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.load()


def test_committed_files_are_current(project: Project) -> None:
    stale = [
        path
        for path, text in suite_files(project).items()
        if not (project.root / path).exists() or (project.root / path).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `make generate`"


def test_compiling_twice_gives_the_same(project: Project) -> None:
    assert suite_files(project) == suite_files(Project.load(project.root))


def test_ids_are_unique(project: Project) -> None:
    ids: list[str] = []
    for path, text in suite_files(project).items():
        if path.endswith(".json"):
            suite = json.loads(text)
            ids += [suite["id"], *(e["id"] for e in suite["expectations"])]
    assert len(ids) == len(set(ids)) > 100
