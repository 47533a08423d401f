"""What a report is made from: the locked study, the tables, the findings, the provenance, and the words for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

from retrain_equivalence.equivalence.finding import Finding, id_of
from retrain_equivalence.figures.elements import Column, Record
from retrain_equivalence.figures.legend import Entry, of_series
from retrain_equivalence.figures.palette import Series
from retrain_equivalence.figures.panel import Band
from retrain_equivalence.recipes.model import GgufModel
from retrain_equivalence.report.words import Named, counted, interval, legend_of, named, number, replicates
from retrain_equivalence.study.study import Study

INTERVAL = "95 % t interval over replicates"
JACKKNIFE = "95 % jackknife interval over replicates"


@dataclass(frozen=True)
class Material:
    """Everything that the sections read; nothing here is a measurement of its own."""

    study: Study
    lock: str
    """Text of `study.lock.yaml`."""
    tables: Mapping[str, Sequence[Record]]
    """As documented in `equivalence.tables`."""
    findings: Sequence[Finding]
    provenance: Mapping[str, Any]

    @cached_property
    def names(self) -> dict[str, Named]:
        """All histories with their short names and looks, by `History.name`, in declared order."""
        return named(self.study.all_histories())

    @cached_property
    def unlearned(self) -> dict[str, Named]:
        """Those of `names` that are unlearned: all but placebos."""
        return {name: entry for name, entry in self.names.items() if entry.history.position() is not None}

    @property
    def series(self) -> list[Series]:
        """One line per unlearned history."""
        return [entry.series for entry in self.unlearned.values()]

    def legend(self, extra: Iterable[Entry] = ()) -> tuple[Entry, ...]:
        """The legend of `series`, followed by further entries."""
        return of_series(legend_of(self.unlearned), extra)

    @cached_property
    def model_note(self) -> str:
        """A sentence that every caption carries if the base model is not what its name says; else empty."""
        if not isinstance(self.study.model, GgufModel):
            return ""
        file = PurePath(self.study.model.gguf.replace("\\", "/")).name
        bits = re.search(r"[qQ](\d)(?:_|\b)", file)
        kind = f"{bits.group(1)}-bit GGUF file" if bits else "GGUF file"
        return f"Base model: dequantised from a {kind} ({file}), not the original weights."

    @cached_property
    def runs(self) -> tuple[int, int]:
        """How many of the study's runs are in the table, and how many are registered.

        At a declared look the table of runs knows of the replicates up to it only; the study knows of all.
        """
        records = self.tables["runs"]
        return sum(r["registered"] - r["missing"] for r in records), len(records) * self.study.replicates

    @cached_property
    def interim(self) -> str:
        """A phrase that every caption carries while registered runs are missing; else empty."""
        there, registered = self.runs
        return f"Interim: {number(there)} of {counted(registered, 'run')}" if there < registered else ""

    def short(self, history: str) -> str:
        """Return a history's short name; an unknown one keeps its own."""
        return self.names[history].short if history in self.names else history

    def caption(self, what: str, numbers: Iterable[int | None], how: str = INTERVAL) -> str:
        """Return a caption: what is drawn and in which unit, n, how the interval was made, and what else to know."""
        parts = [what.rstrip("."), f"{replicates(numbers)}; {how}", self.interim, self.model_note.rstrip(".")]
        return " ".join(f"{part}." for part in parts if part)

    def unlearnings(self, records: Iterable[Record]) -> list[str]:
        """Return the unlearnings that occur in some records, in the study's order."""
        found = {record["unlearning"] for record in records}
        return [u.name for u in self.study.unlearnings if u.name in found]


def mean_columns(what: str = "mean", keys: tuple[str, str, str] = ("mean", "low", "high")) -> tuple[Column, ...]:
    """Return the columns of an estimate: the number, its interval, and n."""
    mean, low, high = keys
    return (
        Column(head=what, text=lambda r: number(r[mean]), numeric=True),
        Column(head="95 % interval", text=lambda r: interval(r[low], r[high]), numeric=True),
        Column(head="n", text=lambda r: number(r["n"]), numeric=True),
    )


def column(head: str, key: str, words: Callable[[Any], str] = str, *, numeric: bool = False) -> Column:
    """Return a column that shows one field of a record."""
    return Column(head=head, text=lambda r: words(r[key]), numeric=numeric)


def id_column(contrast: str, quantity: str, **fields: Any) -> Column:
    """Return the column of the ids by which `trace` finds the rows behind each number.

    Args:
        contrast: of the findings.
        quantity: of the findings; where it differs by row, the record's own `quantity` is read if this is empty.
        **fields: coordinates that are not read from the record: values, or functions of the record.
    """

    def text(r: Record) -> str:
        read = {name: r[name] for name in ("probe", "test_set", "unlearning", "history", "step") if name in r}
        told = {name: value(r) if callable(value) else value for name, value in fields.items()}
        return id_of(contrast=contrast, quantity=quantity or r["quantity"], **(read | told))

    return Column(head="id", text=text)


def where_of(record: Record) -> str:
    """Return the alignment of a record that has a step and knows whether it is the last one."""
    return "trained" if record["step"] == 0 else "at_end" if record["last"] else "at_step"


def unlearning_of(record: Record) -> str:
    """Return the unlearning of a record as findings have it: a trained state has none."""
    return "" if record["step"] == 0 else str(record["unlearning"])


def one_band(levels: Sequence[tuple[float, float | None, float | None]]) -> tuple[Band, ...]:
    """Return the level of one oracle, or one band that spans those of several oracle orders; nothing for none.

    Args:
        levels: mean, lower and upper bound of each.
    """
    if not levels:
        return ()
    ends = [end for _, low, high in levels for end in (low, high) if end is not None]
    mean = sum(value for value, _, _ in levels) / len(levels)
    if len(levels) > 1:
        ends += [value for value, _, _ in levels]
    return (Band(value=mean, low=min(ends, default=None), high=max(ends, default=None)),)


def spanning(n: int) -> str:
    """Return what a caption adds where one band stands for several oracles."""
    return f"; the grey band spans {n} oracle orders" if n > 1 else ""


def within_fraction(domain: tuple[float, float]) -> tuple[float, float]:
    """Return the range of an axis of fractions: a t interval may leave 0 to 1, the drawing does not."""
    room = 0.02 * (domain[1] - domain[0])
    return max(domain[0], -room), min(domain[1], 1 + room)


def is_end(record: Record) -> bool:
    """Whether a record is before unlearning or at its last saved step."""
    return record["step"] == 0 or bool(record.get("last"))
