"""Where the numbers come from: the locked study, versions, data, model, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrain_equivalence.figures.elements import Column, Section, Table
from retrain_equivalence.report.citations import bibtex
from retrain_equivalence.report.material import Material
from retrain_equivalence.report.words import NOTHING, counted, number

LOCK = "study.lock.yaml"
APART = ("datasets", "cost", "model", "environment", "sharing", "tasks")
"""Parts of the provenance that have tables of their own."""


def configuration(material: Material) -> Section:
    """Return the locked study, word for word."""
    return Section(
        name="configuration",
        title="Configuration",
        says=("The study as it was run, with every default written out.",),
        text=material.lock,
        file=LOCK,
    )


def provenance(material: Material) -> Section:
    """Return data sources, model, versions and everything else that the run recorded."""
    known = material.provenance
    tables = []
    if datasets := _mapping(known.get("datasets")):
        tables.append(_datasets(datasets))
    rest = {name: value for name, value in known.items() if name not in APART and value != ""}
    for caption, value in (
        ("Model", known.get("model")),
        ("Numeric environment: whatever can move a bit", known.get("environment")),
        ("Run", rest),
    ):
        if lines := _flat(value):
            tables.append(_pairs(caption, lines))
    notes = _mapping(known.get("model")).get("notes") or ()
    says = [material.model_note, *(str(note) for note in notes)]
    if acknowledged := known.get("acknowledge"):
        says.append(f"The study acknowledges: {acknowledged}.")
    return Section(name="provenance", title="Provenance", says=tuple(say for say in says if say), tables=tuple(tables))


def cost(material: Material) -> Section:
    """Return seconds, tokens and steps by kind of task, and the stage trainings saved by sharing."""
    known = _mapping(material.provenance.get("cost"))
    rows = [(str(kind), _mapping(value)) for kind, value in sorted(known.items())]

    def amount(name: str) -> Column:
        return Column(head=name, text=lambda row: number(_number(row[1].get(name))), numeric=True)

    kind = Column(head="kind of task", text=lambda row: row[0])
    columns = (kind, *map(amount, ("tasks", "seconds", "tokens", "steps")))
    sharing, tasks = _mapping(material.provenance.get("sharing")), _mapping(material.provenance.get("tasks"))
    says = []
    shared, naive = _number(sharing.get("shared")), _number(sharing.get("naive"))
    if shared is not None and naive is not None:
        says.append(
            f"Sharing prefixes: {number(shared)} stage trainings instead of {number(naive)}, {number(naive - shared)} "
            "saved."
        )
    planned, reused = _number(tasks.get("planned")), _number(tasks.get("reused"))
    if planned is not None and reused is not None:
        says.append(f"Of {counted(int(planned), 'task')}, {number(reused)} were in the store already.")
    total = sum(_number(value.get("seconds")) or 0.0 for _, value in rows)
    if rows:
        says.append(f"All tasks together took {number(round(total, 1))} seconds of computing, added up over workers.")
    table = Table.of("Computing, by kind of task", columns, rows)
    return Section(name="cost", title="Cost", says=tuple(says), tables=(table,) if rows else ())


def citations(material: Material) -> Section:
    """Return the BibTeX of what this study rests on."""
    return Section(
        name="citations",
        text_open=True,
        title="Citations",
        says=("The work that this study rests on: the paper, the objectives and the data.",),
        text=bibtex(material.study),
        file="BibTeX",
    )


def _datasets(datasets: Mapping[str, Any]) -> Table:
    def field(name: str) -> Column:
        def text(row: tuple[str, Mapping[str, Any]]) -> str:
            value = row[1].get(name)
            if isinstance(value, bool):
                return "yes" if value else "no"
            if isinstance(value, list | tuple):
                return "; ".join(map(str, value)) or NOTHING
            return number(value) if isinstance(value, int | float) else str(value or NOTHING)

        words = {"held_out": "held-out rows", "train": "training rows", "rows_read": "rows read", "sha256": "SHA-256"}
        return Column(head=words.get(name, name), text=text, numeric=name in ("train", "held_out", "rows_read"))

    names = (
        "source",
        "revision",
        "licence",
        "rows_read",
        "train",
        "held_out",
        "sensitive",
        "sha256",
        "digest",
        "warnings",
    )
    return Table.of(
        "Data: source, licence and digest of every set (rows are never shown, only their ids are recorded)",
        (Column(head="stage", text=lambda row: row[0]), *map(field, names)),
        [(str(name), _mapping(value)) for name, value in sorted(datasets.items())],
    )


def _pairs(caption: str, lines: list[tuple[str, str]]) -> Table:
    return Table.of(
        caption,
        (Column(head="field", text=lambda line: line[0]), Column(head="value", text=lambda line: line[1])),
        lines,
        folded=True,
    )


def _flat(value: Any, at: str = "") -> list[tuple[str, str]]:
    """Return nested JSON as `(dotted field, text)` lines."""
    if isinstance(value, Mapping):
        return [line for name in sorted(value) for line in _flat(value[name], f"{at}.{name}" if at else str(name))]
    if isinstance(value, list | tuple):
        if all(not isinstance(item, Mapping | list | tuple) for item in value):
            return [(at, ", ".join(map(str, value)) or NOTHING)]
        return [line for i, item in enumerate(value) for line in _flat(item, f"{at}[{i}]")]
    return [] if value is None else [(at, str(value) or NOTHING)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
