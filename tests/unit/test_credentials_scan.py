"""The scanner of `make check` finds what was committed once and removed later, and what is not committed yet."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "credentials.py"
#: Put together here, so that this file holds none.
TOKEN = "ghp_" + "a1B2" * 9


@pytest.fixture
def scanner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, at work on a repository of its own."""
    spec = importlib.util.spec_from_file_location("credentials_scan", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    known = json.loads(module.KNOWN.read_text()) | {"results": {}}
    (tmp_path / "known.json").write_text(json.dumps(known))
    repository = tmp_path / "repository"
    repository.mkdir()
    for name, path in (
        ("ROOT", repository),
        ("KNOWN", tmp_path / "known.json"),
        ("CLEAN", tmp_path / "clean"),
    ):
        monkeypatch.setattr(module, name, path)
    monkeypatch.setattr("sys.argv", ["credentials.py"])
    git(repository, "init", "--quiet")
    return module


def git(repository: Path, *arguments: str) -> None:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=repository, check=True, capture_output=True)


def commit(repository: Path, name: str, text: str) -> None:
    (repository / name).write_text(text)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", name)


def test_a_clean_history_is_clean_and_remembered(scanner: ModuleType) -> None:
    commit(scanner.ROOT, "a.py", 'greeting = "hello"\n')
    assert scanner.main() == 0
    assert scanner.lines() == {}


def test_a_removed_credential_is_still_found(scanner: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    commit(scanner.ROOT, "a.py", f'token = "{TOKEN}"\n')
    commit(scanner.ROOT, "a.py", 'token = load("token")\n')
    assert scanner.main() == 1
    told = capsys.readouterr().err
    assert "a.py: " in told
    assert TOKEN not in told
    assert not scanner.CLEAN.exists()


def test_what_is_not_committed_yet_is_looked_at(scanner: ModuleType) -> None:
    commit(scanner.ROOT, "a.py", 'greeting = "hello"\n')
    assert scanner.main() == 0
    (scanner.ROOT / "b.py").write_text(f'token = "{TOKEN}"\n')
    assert scanner.main() == 1


def test_what_a_person_accepted_is_quiet(scanner: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(scanner.ROOT, "a.py", f'token = "{TOKEN}"\n')
    monkeypatch.setattr("sys.argv", ["credentials.py", "--accept"])
    assert scanner.main() == 0
    monkeypatch.setattr("sys.argv", ["credentials.py"])
    assert scanner.main() == 0
    assert TOKEN not in scanner.KNOWN.read_text()
