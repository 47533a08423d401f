"""What a page is made of: figures, tables and sections as values, before any HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from retrain_equivalence.figures.legend import Entry

Record = Mapping[str, Any]
"""One row of a report table."""

PAGE_ROWS = 1_900
"""Rows of all tables together: beyond some 2,000 a browser becomes slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    head: str
    text: Callable[[Any], str]
    """From a record to what the cell shows."""
    numeric: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its caption; the first column heads its row."""

    caption: str
    heads: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    preferred: tuple[bool, ...]
    """Which rows are kept first if the table must be cut."""
    left_out: int = 0
    """How many rows are not in the page."""
    folded: bool = False
    """Whether it is closed until a reader opens it; long ones always are."""

    @classmethod
    def of(
        cls,
        caption: str,
        columns: Sequence[Column],
        records: Iterable[Any],
        *,
        prefer: Callable[[Any], bool] = lambda record: True,
        folded: bool = False,
    ) -> Table:
        """Build a table.

        Args:
            caption: what the rows are.
            columns: in order.
            records: rows of a report table, or any values that the columns can read.
            prefer: which records matter most: they are kept if the page cannot hold all.
            folded: whether it is closed until a reader opens it.
        """
        listed = list(records)
        return cls(
            caption=caption,
            heads=tuple(column.head for column in columns),
            numeric=tuple(column.numeric for column in columns),
            rows=tuple(tuple(column.text(record) for column in columns) for record in listed),
            preferred=tuple(prefer(record) for record in listed),
            folded=folded,
        )

    def cut(self, most: int) -> Table:
        """Return the table with at most `most` rows, in the same order: the preferred ones first, then from the top."""
        if len(self.rows) <= most:
            return self
        ranked = sorted(range(len(self.rows)), key=lambda i: (not self.preferred[i], i))
        # A table whose preferred rows fit shows just these: what would be added from the top has no meaning of its own.
        kept = sorted(ranked[: min(most, sum(self.preferred) or most)])
        return replace(
            self,
            rows=tuple(self.rows[i] for i in kept),
            preferred=tuple(self.preferred[i] for i in kept),
            left_out=self.left_out + len(self.rows) - len(kept),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Some panels under one legend, one caption and one table."""

    name: str
    """Letters, digits and dashes; unique in the page."""
    title: str
    panels: tuple[str, ...]
    """`<svg>` elements made by `figures.chart.to_svg`."""
    legend: tuple[Entry, ...] = ()
    caption: str
    """What is drawn, units, n, interval."""
    table: Table
    wide: bool = False
    """Whether the panel needs the whole width and scrolls on a narrow screen."""
    folded: bool = False
    """Whether it is a variant of another figure, closed until a reader opens it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One heading with what stands under it."""

    name: str
    title: str
    says: tuple[str, ...] = ()
    """Paragraphs, in plain words."""
    points: tuple[tuple[str, str], ...] = ()
    """A list after the paragraphs: what each point is about, and what is said of it."""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    text: str = ""
    """Preformatted text: a file's content."""
    text_open: bool = False
    """Whether the text is unfolded."""
    file: str = ""
    """The file that `text` is from."""


def fitted(sections: Sequence[Section], most: int = PAGE_ROWS) -> tuple[Section, ...]:
    """Return the sections with their tables cut so that the page has at most `most` table rows.

    Tables that stand alone share half of the rows and the tables behind figures the rest, each kind under one limit.
    """
    alone = [table for section in sections for table in section.tables]
    behind = [figure.table for section in sections for figure in section.figures]
    first = _limit([len(table.rows) for table in alone], most // 2)
    left = most - sum(len(table.cut(first).rows) for table in alone)
    second = _limit([len(table.rows) for table in behind], left)
    return tuple(
        replace(
            section,
            tables=tuple(table.cut(first) for table in section.tables),
            figures=tuple(replace(figure, table=figure.table.cut(second)) for figure in section.figures),
        )
        for section in sections
    )


def _limit(sizes: Sequence[int], most: int) -> int:
    """Return the largest common limit under which tables of these sizes have at most `most` rows together.

    >>> _limit([10, 50, 90], 100), _limit([3, 4], 100)
    (45, 4)
    """
    low, high = 0, max(sizes, default=0)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(min(size, middle) for size in sizes) <= most else (low, middle - 1)
    return low
