"""How a broken file is described: file, line, column, what is wrong and what to do.

Values are never quoted: a broken line may hold personal data, and messages end in logs.
"""

from __future__ import annotations

from lakehouse.errors import FileDefect


def defect(file: str, problem: str, hint: str, *, line: int | None = None, column: str = "") -> FileDefect:
    """One defect of one file.

    Args:
        file: the file's name as the person knows it.
        problem: what is wrong, as the rest of a sentence.
        hint: the next step.
        line: physical line in the (decompressed) file; the header is line 1.
        column: the source's name of the column.
    """
    place = file
    if line is not None:
        place += f", line {line:,}"
    if column:
        place += f", column {column}"
    return FileDefect(f"{place}: {problem}.", hint)


def lone_return(file: str, line: int, column: str = "") -> FileDefect:
    """A line that ends as on old Macs, or a line break in a text without quotes."""
    return defect(
        file,
        "a carriage return without a line feed",
        "Lines must end in LF or CRLF (old Mac line ends: `tr '\\r' '\\n' < FILE > NEW`); a text that holds "
        "a line break needs quotes around it.",
        line=line,
        column=column,
    )


def several(defects: list[FileDefect], intro: str, hint: str) -> FileDefect:
    """All defects of a delivery as one error, so that a person mends them in one go."""
    if len(defects) == 1:
        return FileDefect(f"{intro} {defects[0].message}", defects[0].hint or hint)
    lines = [f"{intro} {len(defects)} defects:"]
    lines += [f"  - {d.message}" + (f" → {d.hint}" if d.hint else "") for d in defects]
    return FileDefect("\n".join(lines), hint)
