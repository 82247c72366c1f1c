"""Everything that is compiled from contracts and committed, as path → text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lakehouse.compile.conform import conform_sql
from lakehouse.compile.ddl import banner, ods_ddl, raw_ddl
from lakehouse.compile.pages import dictionary_page, lineage_page
from lakehouse.compile.policies import policy_files
from lakehouse.compile.rules_page import rules_page
from lakehouse.compile.suites import suite_files
from lakehouse.contract import Project

#: Folders that hold nothing but generated files: what is not generated there is deleted.
OWNED = ("sql/raw", "sql/ods", "policies", "great_expectations/expectations")


def generated_files(project: Project) -> dict[str, str]:
    """Path below the project's root → text, for all generated files."""
    files = {}
    for contract in project.contracts.values():
        files[f"sql/raw/{contract.table}.sql"] = banner(contract) + raw_ddl(contract).text
        files[conform_path(contract.table)] = conform_sql(contract)
    for table in project.silver.values():
        files[f"sql/ods/{table.table}.sql"] = banner(table) + ods_ddl(table).text
    files["docs/data-dictionary.md"] = dictionary_page(project)
    files["docs/lineage.md"] = lineage_page(project)
    files["docs/reference/rules.md"] = rules_page(project)
    return files | policy_files(project) | suite_files(project)


def conform_path(table: str) -> str:
    """Where the conform query of a table is kept."""
    return f"sql/ods/{table}.conform.sql"


def write_all(project: Project, check: bool = False, also: Mapping[str, str] | None = None) -> list[str]:
    """Write the generated files that are missing or stale; with ``check`` only name them.

    ``also`` are files that others have generated, by path below the project's root.

    Returns the changed (with ``check``: stale) paths, sorted.
    """
    wanted = generated_files(project) | dict(also or {})
    present = {
        str(path.relative_to(project.root))
        for folder in OWNED
        for path in (project.root / folder).rglob("*")
        if path.is_file() and path.suffix in (".sql", ".json")
    }
    surplus = sorted(present - wanted.keys())
    stale = sorted(p for p, text in wanted.items() if _text(project.root / p) != text)
    if not check:
        for path in stale:
            (project.root / path).parent.mkdir(parents=True, exist_ok=True)
            (project.root / path).write_text(wanted[path], encoding="utf-8")
        for path in surplus:
            (project.root / path).unlink()
    return sorted(stale + surplus)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
