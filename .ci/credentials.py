"""Find credentials in every line that was ever committed, and in what is about to be.

`make check` runs it. A finding that is no credential is added to `.ci/credentials-known.json` by `--accept`, after a
person has looked at it. What was clean is remembered in `.tools`: the next run looks at newer commits only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detect_secrets import SecretsCollection
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).resolve().parents[1]
KNOWN = ROOT / ".ci" / "credentials-known.json"
CLEAN = ROOT / ".tools" / "credentials-clean"
#: Hashes: of packages, and of what was accepted.
HASHES = (":(exclude)uv.lock", f":(exclude).ci/{KNOWN.name}")


def git(*arguments: str) -> str:
    """What git prints."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True)
    return done.stdout.decode(errors="replace")


def added(diff: str) -> Iterator[tuple[str, str]]:
    """(path, line) of every line that a diff adds."""
    path = ""
    in_header = False
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            in_header = True
        elif line.startswith("@@ "):
            in_header = False
        elif in_header and line.startswith("+++ "):
            path = line[4:].strip('"').removeprefix("b/")
        elif not in_header and line.startswith("+"):
            yield path, line[1:]


def lines() -> dict[str, list[str]]:
    """Path → every line that it ever had since the last clean run, once, in order; with what is not committed yet."""
    since = CLEAN.read_text().split() if CLEAN.exists() else []
    known = set(git("rev-list", "--all").split())
    exclude = [f"^{commit}" for commit in since if commit in known]
    options = ["-p", "-U0", "--no-color", "--no-ext-diff", "--no-textconv", "--format="]
    history = git("log", *options, "--all", *exclude, "--", ".", *HASHES)
    found: dict[str, dict[str, None]] = {}
    for path, line in added(history):
        found.setdefault(path, {})[line] = None
    names = git("ls-files", "-z", "--modified", "--others", "--exclude-standard", "--", ".", *HASHES)
    for path in filter(None, names.split("\0")):
        if (ROOT / path).is_file():
            for line in (ROOT / path).read_text(encoding="utf-8", errors="replace").splitlines():
                found.setdefault(path, {})[line] = None
    return {path: list(each) for path, each in found.items()}


def scan(settings: dict[str, Any]) -> SecretsCollection:
    """Everything that looks like a credential."""
    with tempfile.TemporaryDirectory() as folder, transient_settings(settings):
        found = SecretsCollection(root=folder)
        paths = []
        for path, texts in lines().items():
            copy = Path(folder, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text("\n".join(texts) + "\n", encoding="utf-8")
            paths.append(path)
        if paths:
            found.scan_files(*paths)
        return found


def main() -> int:
    """Exit code 1 when there is something that nobody has looked at."""
    known = json.loads(KNOWN.read_text())
    accepted = {(path, each["hashed_secret"]) for path, them in known["results"].items() for each in them}
    new = [(path, secret) for path, secret in scan(known) if (path, secret.secret_hash) not in accepted]
    if new and "--accept" in sys.argv[1:]:
        for path, secret in new:
            known["results"].setdefault(path, []).append(
                {"type": secret.type, "hashed_secret": secret.secret_hash}
            )
        known["results"] = {path: known["results"][path] for path in sorted(known["results"])}
        KNOWN.write_text(json.dumps(known, indent=2) + "\n")
        sys.stdout.write(f"{len(new)} accepted; look at the difference of {KNOWN.name}.\n")
        return 0
    for path, secret in sorted(new, key=lambda each: each[0]):
        text = secret.secret_value or ""
        sys.stderr.write(f"{path}: {secret.type}: {text[:3]}… ({len(text)} characters)\n")
    if new:
        sys.stderr.write(
            f"{len(new)} possible credentials, in a file or in its history (`git log -S TEXT -- PATH`). A real one is "
            "revoked first, then removed. One that is none: `.venv/bin/python .ci/credentials.py --accept`.\n"
        )
        return 1
    CLEAN.parent.mkdir(exist_ok=True)
    CLEAN.write_text(git("rev-list", "--all", "--max-count=1000"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
