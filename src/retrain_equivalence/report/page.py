"""The report: one self-contained HTML page from a results folder.

Design. Everything that was measured or decided is read; nothing is computed here beyond counting and layout. The shell
around it is `figures.page`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from retrain_equivalence.core.errors import InputError, visible
from retrain_equivalence.equivalence.finding import Finding, from_json, in_order
from retrain_equivalence.equivalence.tables import report_tables
from retrain_equivalence.figures.elements import Record, Section
from retrain_equivalence.figures.page import render_page, write_page
from retrain_equivalence.records.columns import Columns
from retrain_equivalence.report.about import citations, configuration, cost, provenance
from retrain_equivalence.report.claims import claims
from retrain_equivalence.report.distances import distances
from retrain_equivalence.report.forgetting_and_utility import forgetting_and_utility
from retrain_equivalence.report.growth import growth
from retrain_equivalence.report.improvement import improvement
from retrain_equivalence.report.laws import laws
from retrain_equivalence.report.material import Material
from retrain_equivalence.report.methods import methods
from retrain_equivalence.report.path_gap import path_gap
from retrain_equivalence.report.prefix_tree import prefix_tree
from retrain_equivalence.report.recency import recency
from retrain_equivalence.report.spread import spread
from retrain_equivalence.report.stage_losses import runs, stage_losses
from retrain_equivalence.report.stopping import stopping
from retrain_equivalence.report.trajectories import trajectories
from retrain_equivalence.report.verdict import all_findings, answer
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Study

ROWS, LOCK, FINDINGS, PROVENANCE, REPORT = (
    "rows.parquet", "study.lock.yaml", "findings.json", "provenance.json", "report.html",
)  # fmt: skip

SECTIONS: tuple[Callable[[Material], Section], ...] = (
    claims,
    prefix_tree,
    trajectories,
    distances,
    improvement,
    stopping,
    laws,
    spread,
    path_gap,
    growth,
    methods,
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
    rows = Columns.of_parquet(_existing(directory, ROWS))
    findings = _parsed(directory, FINDINGS, partial(from_json, wanted=_is_shown))
    known = _parsed(directory, PROVENANCE, json.loads)
    page = render(
        study,
        lock=lock.decode("utf-8", "backslashreplace"),
        tables=report_tables(rows, study),
        findings=findings,
        provenance=known if isinstance(known, dict) else {},
    )
    return write_page(directory / REPORT, page)


def _is_shown(finding: Mapping[str, Any]) -> bool:
    """Whether a section may show a finding: what was declared; the tables of the report hold everything else."""
    return bool(finding["verdict"] or finding["family"])


def _existing(directory: Path, name: str) -> Path:
    """Return the path of a file that can be opened."""
    path = directory / name
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise InputError.of(
            "E-DATA-80",
            str(directory / name),
            f"cannot be read ({error.strerror})",
            f"a results folder holds {ROWS}, {LOCK}, {FINDINGS} and {PROVENANCE}; run or compare the study first",
        ) from None


def _read(directory: Path, name: str) -> bytes:
    return _existing(directory, name).read_bytes()


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
    shown = [section for section in made if section.points or section.figures or section.tables or section.text]
    return render_page(
        (files("retrain_equivalence.report") / "templates" / "page.html.j2").read_text(encoding="utf-8"),
        sections=shown,
        everything_is_in="every measurement is in rows.parquet, every finding in findings.json",
        study=study,
        answer=answer(material),
        model_note=material.model_note,
    )
