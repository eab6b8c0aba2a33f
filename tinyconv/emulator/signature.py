"""The parameters of kernels, read from CUDA C++: their names, for messages, and which of them are pointers."""

from __future__ import annotations

import re

_BOUNDS = r"(?:__launch_bounds__\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)?"
_KERNEL = re.compile(rf"__global__\s+(?:void\s+)?{_BOUNDS}(?:void\s+)?(\w+)\s*\(")


def signatures(code: str) -> dict[str, list[tuple[str, bool]]]:
    """Of each kernel in ``code``: (name, whether it is a pointer) per parameter.  Kernels whose head a macro makes are
    not found."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", code, flags=re.S)
    found = {}
    for match in _KERNEL.finditer(code):
        parameters = _split(_bracketed(code, match.end()))
        found[match[1]] = [(re.findall(r"\w+", parameter)[-1], "*" in parameter) for parameter in parameters]
    return found


def _bracketed(code: str, start: int) -> str:
    """The text from ``start`` to the bracket that closes the one before it."""
    depth, end = 1, start
    while depth and end < len(code):
        depth += (code[end] == "(") - (code[end] == ")")
        end += 1
    return code[start:end - 1]


def _split(text: str) -> list[str]:
    """At the commas outside of brackets and template arguments."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += (character in "(<[") - (character in ")>]")
        if character == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [part for part in (*parts, text[start:]) if part.strip() not in ("", "void")]
