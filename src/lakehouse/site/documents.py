"""The project's Markdown files as HTML, with links that lead to pages of the site."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import chain, pairwise
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

#: What is shown, in this order.
_WHERE = (
    "README.md",
    "SDS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/**/*.md",
    "sql/adr/[0-9R]*.md",
)
#: Further pages that these link to.
_ALSO = ("data/raw/README.md", "great_expectations/README.md", "tests/fixtures/defects/README.md")
_EXTERNAL = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Document:
    """A Markdown file of the project. ``path`` is below the project's root, with ``/``."""

    path: str
    text: str = field(repr=False)

    @property
    def page(self) -> str:
        """Where the site has it."""
        return f"doc/{PurePosixPath(self.path).with_suffix('.html')}"

    @property
    def title(self) -> str:
        """Its first heading; else its name."""
        found = re.search(r"^# +(.+?)\s*$", self.text, re.MULTILINE)
        return found[1].replace("`", "") if found else PurePosixPath(self.path).stem

    @property
    def summary(self) -> str:
        """Its first paragraph of prose, else the first entry of a list, as plain text in one line."""
        blocks = [b for b in re.split(r"\n\s*\n", _COMMENT.sub("", self.text)) if b.strip()]
        prose = (b for b in blocks if not re.match(r"\s*(#|\||```|>|[-*] |\d+\. |<)", b))
        entries = (re.split(r"\n[-*] ", b[2:])[0] for b in blocks if re.match(r"[-*] ", b))
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(next(chain(prose, entries), "").split()))
        return re.sub(r"[*`]", "", plain)


@dataclass(frozen=True)
class Rendered:
    """A document as HTML; ``toc`` holds (anchor, heading) of its second-level headings."""

    html: str
    toc: tuple[tuple[str, str], ...]
    has_diagrams: bool


def find(root: Path) -> dict[str, Document]:
    """The documents of a project by path, in the order in which they are shown."""
    paths = [p for pattern in (*_WHERE, *_ALSO) for p in sorted(root.glob(pattern)) if p.is_file()]
    found = (str(p.relative_to(root).as_posix()) for p in paths)
    return {name: Document(name, (root / name).read_text(encoding="utf-8")) for name in found}


def relative(page: str, target: str) -> str:
    """The link from one page of the site to another."""
    return PurePosixPath(os.path.relpath(target, PurePosixPath(page).parent)).as_posix()


def render(document: Document, locate: Callable[[str], str | None], page: str = "") -> Rendered:
    """Make a document's HTML.

    Args:
        document: what to render. Its HTML is shown as text, not obeyed.
        locate: the page of the site for a path of the project, None when there is none; such a link becomes text.
        page: the page that shows it. Default: the document's own.
    """
    page = page or document.page
    options = {"highlight": _highlight}
    parser = MarkdownIt("commonmark", options, renderer_cls=_Renderer).enable(["table", "strikethrough"])
    tokens = parser.parse(document.text)
    toc = _anchors(tokens)
    for token in tokens:
        for child in token.children or ():
            _relink(child, document.path, page, locate)
    return Rendered(
        str(parser.renderer.render(tokens, parser.options, {})),
        toc,
        any(t.type == "fence" and t.info.strip() == "mermaid" for t in tokens),
    )


def highlight_sql(sql: str) -> str:
    """SQL as HTML with classes for its words."""
    return _highlight(sql, "sql", "")


def _highlight(code: str, language: str, _: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language) if language else None
    except ClassNotFound:
        lexer = None
    return highlight(code, lexer, HtmlFormatter(nowrap=True)) if lexer else escape(code)


class _Renderer(RendererHTML):
    """HTML in a document is shown as text: whoever may write one must not thereby run scripts at its readers."""

    def html_block(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        return escape(_COMMENT.sub("", tokens[idx].content))

    def html_inline(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        return escape(_COMMENT.sub("", tokens[idx].content))

    def table_open(self, *_: Any) -> str:
        return '<div class="scroll"><table>\n'

    def table_close(self, *_: Any) -> str:
        return "</table></div>\n"

    def fence(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        words = tokens[idx].info.split()
        if words[:1] == ["mermaid"]:
            return f'<pre class="mermaid">{escape(tokens[idx].content)}</pre>\n'
        code = _highlight(tokens[idx].content, words[0] if words else "", "")
        return f'<pre class="code"><code>{code}</code></pre>\n'


def _anchors(tokens: Sequence[Token]) -> tuple[tuple[str, str], ...]:
    """Give headings the anchors that forges give them."""
    toc, seen = [], dict[str, int]()
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        heading = "".join(c.content for c in inline.children or () if c.type in ("text", "code_inline"))
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        seen[slug] = seen.get(slug, -1) + 1
        anchor = f"{slug}-{seen[slug]}" if seen[slug] else slug
        opening.attrSet("id", anchor)
        if opening.tag == "h2":
            toc.append((anchor, heading))
    return tuple(toc)


def _relink(token: Token, path: str, page: str, locate: Callable[[str], str | None]) -> None:
    name = {"link_open": "href", "image": "src"}.get(token.type)
    target = str(token.attrGet(name) or "") if name else ""
    if not target or target.startswith("#"):
        return
    if _EXTERNAL.match(target):
        # Followed by a click only; the site itself asks nobody.
        token.attrSet("rel", "noreferrer noopener")
        token.attrSet("target", "_blank")
        return
    file, _, anchor = target.partition("#")
    joined = os.path.normpath(PurePosixPath(path).parent / unquote(file))
    found = locate(PurePosixPath(joined).as_posix())
    if found is None:
        token.attrs.pop(str(name), None)
        token.attrSet("title", joined)
        return
    token.attrSet(str(name), relative(page, found) + (f"#{anchor}" if anchor else ""))
