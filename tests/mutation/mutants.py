"""Mutants of CUDA C++: every place where one token could have been another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# (what is found, what it becomes).  Binary operators stand between spaces, as the house writes them: the < of a
# template and the * of a pointer do not.
RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"(?<= )<(?= )", ("<=",)), (r"(?<= )<=(?= )", ("<",)), (r"(?<= )>(?= )", (">=",)), (r"(?<= )>=(?= )", (">",)),
    (r"(?<= )==(?= )", ("!=",)), (r"(?<= )!=(?= )", ("==",)),
    (r"(?<= )&&(?= )", ("||",)), (r"(?<= )\|\|(?= )", ("&&",)),
    (r"(?<= )\+(?= )", ("-",)), (r"(?<= )-(?= )", ("+",)), (r"(?<= )\*(?= )", ("+",)), (r"(?<= )/(?= )", ("*",)),
    (r"(?<= )%(?= )", ("/",)), (r"(?<= )\+=(?= )", ("-=",)), (r"(?<= )-=(?= )", ("+=",)), (r"(?<= )/=(?= )", ("-=",)),
    (r"(?<= )<<(?= )", (">>",)), (r"(?<= )>>(?= )", ("<<",)), (r"(?<= )&(?= )", ("|",)), (r"(?<= )\|(?= )", ("&",)),
    (r"(?<= )\^(?= )", ("&",)), (r"(?<=[( ])!(?=\w)", ("",)), (r"\bmin(?=\()", ("max",)), (r"\bmax(?=\()", ("min",)),
    (r"__syncthreads\(\)", ("(void)0",)), (r"__syncwarp\(\)", ("(void)0",)),
    (r"(?<![\w.])[0-9]+(?![\w.])", ("{} + 1",)),
    (r"\bthreadIdx\.x\b", ("threadIdx.y",)), (r"\bblockIdx\.x\b", ("blockIdx.y",)),
)
_SILENT = re.compile(r"//[^\n]*|/\*.*?\*/|^\s*#[^\n]*(?:\\\n[^\n]*)*|\"[^\"\n]*\"|'[^'\n]*'|\[\[[^\]]*\]\]",
                     re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Mutant:
    """``path`` with the characters from ``begin`` to ``end`` replaced."""

    path: Path
    begin: int
    end: int
    replacement: str

    def text(self) -> str:
        source = self.path.read_text()
        return source[:self.begin] + self.replacement + source[self.end:]

    @property
    def line(self) -> int:
        return self.path.read_text().count("\n", 0, self.begin) + 1

    def __str__(self) -> str:
        source = self.path.read_text()
        line = source.splitlines()[self.line - 1].strip()
        return (f"{self.path.parent.name}/{self.path.name}:{self.line}: {source[self.begin:self.end]!r} -> "
                f"{self.replacement!r} in {line}")


def mutants(path: Path) -> Iterator[Mutant]:
    """All mutants of a file, in the order of the rules; comments, preprocessor lines and strings are left alone."""
    source = path.read_text()
    heard = _SILENT.sub(lambda match: re.sub(r"[^\n]", "\0", match[0]), source)
    for pattern, replacements in RULES:
        for found in re.finditer(pattern, heard):
            for replacement in replacements:
                yield Mutant(path, found.start(), found.end(), replacement.format(found[0]))
