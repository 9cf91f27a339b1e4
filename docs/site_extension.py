"""A Markdown extension: equations as MathML, and parts of pages made from the code at build time.

A line `<!-- generate: NAME ARGUMENTS -->` becomes what the function NAME of `generated` returns. `$...$` and
fenced blocks of the language `math` hold LaTeX, as on GitHub.
"""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor

import generated

DIRECTIVE = re.compile(r"^<!-- generate: (\w+) ?(.*?) -->$")


class Equations(Preprocessor):  # type: ignore[misc]
    """Blocks of LaTeX."""

    def run(self, lines: list[str]) -> list[str]:
        """Return the lines with each block as MathML, which later steps leave as it is."""

        def rendered(found: re.Match[str]) -> str:
            return f"\n{self.md.htmlStash.store(convert(found[1].strip(), display='block'))}\n"

        return re.sub(r"^```math\n(.*?)^```$", rendered, "\n".join(lines), flags=re.M | re.S).split("\n")


class Inline(InlineProcessor):  # type: ignore[misc]
    """LaTeX within a line."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[Any, int, int]:  # noqa: ARG002, N802
        """Return its MathML."""
        return self.md.htmlStash.store(convert(m[1])), m.start(0), m.end(0)


class Generated(Preprocessor):  # type: ignore[misc]
    """Lines that a function makes."""

    def run(self, lines: list[str]) -> list[str]:
        """Return the lines with each directive replaced."""
        done: list[str] = []
        for line in lines:
            if found := DIRECTIVE.match(line):
                done += getattr(generated, found[1])(*found[2].split()).split("\n")
            else:
                done.append(line)
        return done


class SiteExtension(Extension):  # type: ignore[misc]
    """Both."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Register behind what cleans up white space, and before fenced blocks are taken."""
        md.preprocessors.register(Generated(md), "generated", 28)
        md.preprocessors.register(Equations(md), "equations", 27)
        md.inlinePatterns.register(Inline(r"(?<![\\$])\$([^$\n]+)\$", md), "inline_equation", 185)


def makeExtension(**options: Any) -> SiteExtension:  # noqa: N802
    """Return the extension, as Markdown asks for it."""
    return SiteExtension(**options)
