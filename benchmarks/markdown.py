"""Tables that can be read as they are, and that Markdown knows."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of equally wide cells; no line break at the end."""
    widths = [max(map(len, column)) for column in zip(head, ("---",) * len(head), *rows, strict=True)]
    cells = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (head, *rows)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)
