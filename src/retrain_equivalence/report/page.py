"""The report: one self-contained HTML page from a results folder.

Design. Everything that was measured or decided is read; nothing is computed here beyond counting and layout. Text from
outside meets three walls: Jinja2's autoescape, a `finalize` that makes every unprintable character visible, and a
content security policy that allows one style sheet by its hash and nothing else. There is no script. The page holds no
clock and no path of this machine, so equal results are equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from retrain_equivalence.core.errors import InputError, MachineError, visible
from retrain_equivalence.equivalence.finding import Finding, from_json, in_order
from retrain_equivalence.equivalence.tables import report_tables
from retrain_equivalence.figures.elements import Record, Section, fitted
from retrain_equivalence.figures.palette import TOKENS
from retrain_equivalence.records.table import from_parquet
from retrain_equivalence.report.about import citations, configuration, cost, provenance
from retrain_equivalence.report.distances import distances
from retrain_equivalence.report.forgetting_and_utility import forgetting_and_utility
from retrain_equivalence.report.material import Material
from retrain_equivalence.report.path_gap import path_gap
from retrain_equivalence.report.prefix_tree import prefix_tree
from retrain_equivalence.report.recency import recency
from retrain_equivalence.report.stage_losses import runs, stage_losses
from retrain_equivalence.report.trajectories import trajectories
from retrain_equivalence.report.verdict import all_findings, answer
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Study

ROWS, LOCK, FINDINGS, PROVENANCE, REPORT = (
    "rows.parquet", "study.lock.yaml", "findings.json", "provenance.json", "report.html",
)  # fmt: skip

SECTIONS: tuple[Callable[[Material], Section], ...] = (
    prefix_tree,
    trajectories,
    distances,
    path_gap,
    recency,
    forgetting_and_utility,
    all_findings,
    stage_losses,
    runs,
    configuration,
    provenance,
    cost,
    citations,
)
"""What follows the answer, in reading order; a section with nothing to show is left out."""


def write_report(directory: Path) -> Path:
    """Write `report.html` from what a results folder holds.

    Args:
        directory: holds `rows.parquet`, `study.lock.yaml`, `findings.json`, `provenance.json`.

    Returns:
        The path of the page, written whole or not at all.

    Raises:
        InputError: E-DATA-80 if a file is missing, E-DATA-81 if it cannot be read as what its name says.
        StudyError: if the locked study is invalid.
        MachineError: E-ENV-41 if the page cannot be written.
    """
    lock = _read(directory, LOCK)
    study = load_study(directory / LOCK)
    frame = from_parquet(_read(directory, ROWS))
    findings = _parsed(directory, FINDINGS, partial(from_json, wanted=_is_shown))
    known = _parsed(directory, PROVENANCE, json.loads)
    page = render(
        study,
        lock=lock.decode("utf-8", "backslashreplace"),
        tables=report_tables(frame, study),
        findings=findings,
        provenance=known if isinstance(known, dict) else {},
    )
    path = directory / REPORT
    temporary = path.with_name(f".{REPORT}.{os.getpid()}")
    try:
        temporary.write_bytes(page.encode())
        temporary.replace(path)
    except OSError as error:
        raise MachineError.of(
            "E-ENV-41", str(path), f"cannot be written ({error.strerror})", "check space and permissions"
        ) from None
    return path


def _is_shown(finding: Mapping[str, Any]) -> bool:
    """Whether a section may show a finding: what was declared, and slopes, which no table of the report holds."""
    declared = bool(finding["verdict"] or finding["family"])
    return declared or (finding["contrast"] == "growth" and finding["estimate"] is not None)


def _read(directory: Path, name: str) -> bytes:
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        raise InputError.of(
            "E-DATA-80",
            str(directory / name),
            f"cannot be read ({error.strerror})",
            f"a results folder holds {ROWS}, {LOCK}, {FINDINGS} and {PROVENANCE}; run or compare the study first",
        ) from None


def _parsed(directory: Path, name: str, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(_read(directory, name))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError.of(
            "E-DATA-81", str(directory / name), f"is not what this release writes ({visible(str(error), limit=120)})",
            "compare the study again",
        ) from None  # fmt: skip


def render(
    study: Study,
    *,
    lock: str,
    tables: Mapping[str, Sequence[Record]],
    findings: Sequence[Finding],
    provenance: Mapping[str, Any],
) -> str:
    """Return the page's text: a pure function of its arguments.

    Args:
        study: the locked study.
        lock: the text of its file, shown word for word.
        tables: as `equivalence.tables.report_tables` makes them.
        findings: what `compare` said, in any order.
        provenance: what the run recorded.
    """
    from altair.utils.schemapi import debug_mode

    material = Material(study=study, lock=lock, tables=tables, findings=in_order(findings), provenance=provenance)
    # Altair would check every part of every chart against its schema; the charts' own tests do that.
    with debug_mode(False):
        made = [section(material) for section in SECTIONS]
    shown = [section for section in made if section.figures or section.tables or section.text]
    style = _style()
    template = _environment().from_string(_text("page.html.j2"))
    return template.render(
        study=study,
        answer=answer(material),
        sections=fitted(shown),
        style=Markup(style),  # noqa: S704 the package's own style sheet
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        model_note=material.model_note,
        svg=_svg,
        lines=_lines,
    )


def _environment() -> Environment:
    def finalize(value: object) -> object:
        return value if isinstance(value, Markup) else visible(str(value))

    return Environment(
        autoescape=True, undefined=StrictUndefined, finalize=finalize, trim_blocks=True, lstrip_blocks=True
    )


def _svg(drawn: str) -> Markup:
    # Drawings are this package's own: their text was escaped by the XML writer.
    return Markup(drawn)  # noqa: S704


def _lines(text: str) -> list[str]:
    """Return the lines of a preformatted text, so that only their ends are kept as line ends."""
    return text.rstrip("\n").split("\n")


def _text(name: str) -> str:
    return (files("retrain_equivalence.report") / "templates" / name).read_text(encoding="utf-8")


def _style() -> str:
    light = "".join(f"--{token.name}:{token.light};" for token in TOKENS)
    dark = "".join(f"--{token.name}:{token.dark};" for token in TOKENS)
    themes = (
        f":root{{{light}--page:#ffffff;--panel:#f6f7f9;}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}--page:#14181d;--panel:#1c2229;}}}}"
    )
    return themes + _text("style.css")
