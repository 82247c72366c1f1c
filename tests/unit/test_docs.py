"""Pages for people: their links lead somewhere, decisions have the agreed form, every contract key is explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from lakehouse.cli.adr import new_page
from lakehouse.cli.generate import reference_pages
from lakehouse.contract import Project
from lakehouse.contract.model import TableContract
from lakehouse.errors import LakehouseError

ROOT = Path(__file__).resolve().parents[2]
ADR_FOLDER = ROOT / "sql" / "adr"
ADRS = sorted(ADR_FOLDER.glob("[0-9]*.md"))
ADR_HEADINGS = ["Context", "Decision", "Options rejected", "Consequences", "How it is tested"]
#: One page: what fits on a screen or two.
ADR_LINES = 70

_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)[^)]*\)")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def _pages() -> list[Path]:
    """Every Markdown file that is, or will be, versioned; all of them where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        names = sorted(set(listed.stdout.splitlines()))
        return [ROOT / name for name in names if (ROOT / name).exists()]
    folders = ("contracts", "dags", "data/raw", "docs", "great_expectations", "sql", "src", "tests")
    return [*sorted(ROOT.glob("*.md")), *(p for f in folders for p in sorted((ROOT / f).rglob("*.md")))]


def _prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def _links(page: Path) -> list[str]:
    """Links to places in this repository."""
    return [target for target in _LINK.findall(_prose(page)) if not _ELSEWHERE.match(target)]


def _anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ +(.+?)\s*$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken(page: Path) -> list[str]:
    found = []
    for link in _links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        missing = not target.exists() or not target.is_relative_to(ROOT)
        if missing or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            found.append(link)
    return found


def test_links_lead_to_files_and_headings_of_this_repository() -> None:
    assert {str(page.relative_to(ROOT)): broken for page in _pages() if (broken := _broken(page))} == {}


def test_the_hub_reaches_every_page_of_the_docs() -> None:
    hub = ROOT / "docs" / "index.md"
    reached = {(hub.parent / link.partition("#")[0]).resolve() for link in _links(hub)}
    pages = {page.resolve() for page in (ROOT / "docs").rglob("*.md")} - {hub.resolve()}
    assert sorted(str(p.relative_to(ROOT)) for p in pages - reached) == []


@pytest.mark.parametrize("page", ADRS, ids=lambda page: page.stem)
def test_a_decision_has_its_number_five_headings_and_one_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{4}(-[a-z0-9]+){2,}", page.stem)
    assert text.startswith(f"# {page.stem[:4]} ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ADR_HEADINGS
    rejected = text.partition("## Options rejected")[2].partition("##")[0]
    assert len(re.findall(r"^- \*\*", rejected, re.MULTILINE)) >= 2
    assert len(text.splitlines()) <= ADR_LINES


def _fields(page: Path) -> dict[str, str]:
    """What stands between a decision's title and its first heading."""
    head = page.read_text(encoding="utf-8").partition("\n## ")[0]
    return dict(re.findall(r"^- (\w[\w ]*): (.+)$", head, re.MULTILINE))


@pytest.mark.parametrize("page", ADRS, ids=lambda page: page.stem)
def test_a_decision_has_a_status_and_a_date(page: Path) -> None:
    fields = _fields(page)
    assert re.fullmatch(r"proposed|accepted|superseded by \[\d{4}\]\(\S+\).*", fields["Status"])
    assert date.fromisoformat(fields["Date"]) <= datetime.now(UTC).date()
    successor = re.match(r"superseded by \[\d{4}\]\((\S+)\)", fields["Status"])
    if successor:
        assert f"]({page.name})" in _fields(ADR_FOLDER / successor.group(1))["Supersedes"]


@pytest.mark.parametrize("page", ADRS, ids=lambda page: page.stem)
def test_a_decision_names_the_tests_that_hold_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = [
        (page.parent / link).resolve() for link in _LINK.findall(text.partition("## How it is tested")[2])
    ]
    tests = [path for path in linked if path.exists() and path.is_relative_to(ROOT / "tests")]
    assert tests or _fields(page)["Status"] == "proposed"


def test_decisions_are_numbered_without_gaps_and_listed_with_their_status() -> None:
    assert [page.stem[:4] for page in ADRS] == [f"{n:04}" for n in range(1, len(ADRS) + 1)]
    listed = re.findall(
        r"^\| (\d{4}) \| \[.+\]\((\S+)\) \| (.+?) \| .+ \|$",
        (ADR_FOLDER / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    status = {page.name: re.sub(r"\[(\d+)\].*", r"\1", _fields(page)["Status"]) for page in ADRS}
    assert listed == [(page.stem[:4], page.name, status[page.name]) for page in ADRS]


def test_no_decision_is_left_as_the_template_has_it() -> None:
    prompts = re.findall(
        r"_[A-Z].*_$", (ADR_FOLDER / "TEMPLATE.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(prompts) == 6
    left = [
        (page.name, p) for page in [*ADRS, ADR_FOLDER / "README.md"] for p in prompts if p in page.read_text()
    ]
    assert left == []


def test_a_new_decision_is_numbered_listed_and_has_the_agreed_form(tmp_path: Path) -> None:
    folder = tmp_path / "adr"
    shutil.copytree(ADR_FOLDER, folder)
    page = new_page(folder, "Keep secrets in  the environment.")
    number = f"{len(ADRS) + 1:04}"
    assert page.name == f"{number}-keep-secrets-in-the-environment.md"
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {number} Keep secrets in the environment\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ADR_HEADINGS
    assert _fields(page)["Status"] == "proposed"
    assert _fields(page)["Date"] == datetime.now(UTC).date().isoformat()
    *_, before, row = [x for x in (folder / "README.md").read_text().splitlines() if x.startswith("| 0")]
    assert before.startswith(f"| {len(ADRS):04} |")
    assert row.startswith(f"| {number} | [Keep secrets in the environment]({page.name}) | proposed |")
    with pytest.raises(LakehouseError, match="has that title"):
        new_page(folder, "Keep secrets in the environment")
    with pytest.raises(LakehouseError, match="not a verb phrase"):
        new_page(folder, "Secrets")


def test_the_system_design_has_every_table_with_its_key() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| [^|]*\|$", (ROOT / "SDS.md").read_text(), re.MULTILINE
    )
    project = Project.load()
    tables: list[TableContract] = [*project.silver.values(), *project.gold.values()]
    assert {name: re.findall(r"\w+", key) for name, key in rows} == {t.table: list(t.key) for t in tables}


def test_pages_of_commands_and_dags_say_what_the_code_says() -> None:
    for name, text in reference_pages(Project.load()).items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name} is stale: run `make generate`"


def test_contract_keys_are_all_explained() -> None:
    """Every key that the contract reader accepts is on its page; a new key without a word is a defect."""
    from lakehouse.contract import reader

    page = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    models = (reader._Document, reader._Table, reader._Property, reader._Quality, reader._Description)
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()}
    keys |= {key for name, value in vars(reader).items() if name.endswith("_PROPERTIES") for key in value}
    assert {"fileName", "sourceName", "severity", "unit"} <= keys
    assert sorted(key for key in keys if not re.search(rf"`(?:[\w.]+\.)?{key}\b", page)) == []
