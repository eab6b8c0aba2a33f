"""The parameters of kernels, read from CUDA C++: their names, for messages, and which of them are pointers."""

from __future__ import annotations

import re

_BOUNDS = r"(?:__launch_bounds__\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)?"
_KERNEL = re.compile(rf"__global__\s+(?:void\s+)?{_BOUNDS}(?:void\s+)?(\w+)\s*\(")


# Types that are no pointers whatever else a source defines; any other name may be a macro or a typedef of one.
_NUMBERS = {"const", "volatile", "unsigned", "signed", "bool", "char", "short", "int", "long", "float", "double",
            "size_t", *(f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64))}


def signatures(code: str) -> dict[str, list[tuple[str, bool | None]]]:
    """Of each kernel in ``code``: (name, whether it is a pointer) per parameter; None if its type has a name that does
    not tell.  Kernels whose head a macro makes are not found."""
    code = without_comments(code)
    return {match[1]: [_parameter(text) for text in split(bracketed(code, match.end()))]
            for match in _KERNEL.finditer(code)}


def _parameter(text: str) -> tuple[str, bool | None]:
    *type_, name = re.findall(r"\w+", re.sub(r"\[\d*\]\s*$", "", text))
    if "*" in text or "[" in text:
        return name, True
    return name, False if set(type_) <= _NUMBERS and type_ else None


def without_comments(code: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", code, flags=re.S)


def bracketed(code: str, start: int) -> str:
    """The text from ``start`` to the bracket that closes the one before it."""
    depth, end = 1, start
    while depth and end < len(code):
        depth += (code[end] == "(") - (code[end] == ")")
        end += 1
    return code[start:end - 1]


def split(text: str) -> list[str]:
    """At the commas outside of brackets and template arguments."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += (character in "(<[") - (character in ")>]")
        if character == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [part for part in (*parts, text[start:]) if part.strip() not in ("", "void")]
