"""The summary: a JSON file that belongs to one version of the code, and the page that is written from it."""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy
from benchmarks.calibration.gates import Question, Role, Row

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "calibration.md"
PACKAGE = ROOT / "src" / "retrain_equivalence" / "equivalence"
TESTED = (
    "benjamini_hochberg",
    "estimate",
    "estimated_level",
    "excess_path_gap",
    "gap_series",
    "gehan",
    "growth",
    "holm",
    "jackknife",
    "max_t",
    "path_spread",
    "permutation",
    "power",
    "recency",
    "sign_flip",
    "spending",
    "squared_norm",
    "stopping_price",
    "tost",
    "verdict",
    "welch",
)
"""Modules of `retrain_equivalence.equivalence` whose functions the simulation calls or repeats."""


def _shape(node: object) -> object:
    """Return what a piece of source does: names, constants and structure, without positions and docstrings."""
    if isinstance(node, ast.AST):
        fields = {name: _shape(value) for name, value in ast.iter_fields(node)}
        return [type(node).__name__, sorted((k, v) for k, v in fields.items() if v not in ("None", []))]
    if isinstance(node, list):
        kept = [item for item in node if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))]
        return [_shape(item) for item in kept]
    return repr(node)


def code_version() -> str:
    """Return the digest of the tested modules and of this simulation; comments and docstrings do not count."""
    files = [PACKAGE / f"{name}.py" for name in TESTED] + sorted(Path(__file__).parent.glob("*.py"))
    shapes = [[path.name, _shape(ast.parse(path.read_text(encoding="utf-8")))] for path in files]
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:16]


def environment() -> dict[str, str]:
    """Return what the numbers were made with."""
    return {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What one run of the simulation found."""

    seed: int
    studies: int
    code: str
    """Of `code_version`."""
    environment: dict[str, str]
    seconds: dict[str, float]
    """By question."""
    rows: dict[str, tuple[Row, ...]]
    """By question."""

    @property
    def failures(self) -> list[str]:
        """The rows that fail, one line each."""
        return [
            f"{name}: {row.setting}: {row.quantity}: {_number(row.value, row)} where {band(row)} is allowed"
            for name, rows in self.rows.items()
            for row in rows
            if not row.passes
        ]

    def count(self, role: Role) -> int:
        """Number of rows of one role."""
        return sum(row.role is role for rows in self.rows.values() for row in rows)

    def write(self, path: Path) -> None:
        """Write the JSON file."""
        found = asdict(self)
        found["passed"] = not self.failures
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Summary:
        """Read the JSON file."""
        found = json.loads(path.read_text(encoding="utf-8"))
        del found["passed"]
        rows = {
            name: tuple(Row(**{**row, "role": Role(row["role"])}) for row in rows)
            for name, rows in found.pop("rows").items()
        }
        return cls(rows=rows, **found)


def _number(value: float | None, row: Row) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f}" if row.percent else f"{value:.2g}"


def band(row: Row) -> str:
    """Return what is allowed, in words."""
    low, high = _number(row.low, row), _number(row.high, row)
    if low and high:
        return f"{low} to {high}"
    if low:
        return f"at least {low}"
    return f"at most {high}" if high else ""


def _table(rows: Sequence[Row]) -> list[str]:
    """Return one line per setting and one column per quantity; a band that differs by setting stands in the cell."""
    quantities, settings = list(dict.fromkeys(r.quantity for r in rows)), list(dict.fromkeys(r.setting for r in rows))
    cells = {(row.setting, row.quantity): row for row in rows}
    common = {}
    for quantity in quantities:
        bands = {band(row) for row in rows if row.quantity == quantity}
        common[quantity] = bands.pop() if len(bands) == 1 else None
    heads = []
    for quantity in quantities:
        of_it = [row for row in rows if row.quantity == quantity]
        unit = ", %" if of_it[0].percent else ""
        allowed = f" (allowed: {common[quantity]})" if common[quantity] else ""
        heads.append(f"{quantity}{unit}{allowed}")
    lines = ["| setting | " + " | ".join(heads) + " |", "|---" * (len(quantities) + 1) + "|"]
    for setting in settings:
        shown = []
        for quantity in quantities:
            row = cells.get((setting, quantity))
            if row is None:
                shown.append("")
                continue
            allowed = f" ({band(row)})" if common[quantity] is None and band(row) else ""
            shown.append(f"{_number(row.value, row)}{allowed}{'' if row.passes else ' **fails**'}")
        lines.append(f"| {setting} | " + " | ".join(shown) + " |")
    return lines


def page(summary: Summary, second: Summary | None, questions: Sequence[Question]) -> str:
    """Return docs/calibration.md."""
    failed = len(summary.failures)
    gates, controls = summary.count(Role.GATE), summary.count(Role.CONTROL)
    lines = [
        "# Calibration: how often the numbers err",
        "",
        "Written by `make calibrate` from `benchmarks/results/calibration.json`; do not edit.",
        "",
        f"Every table is a simulation of studies whose truth is known: {summary.studies:,} studies a row unless the "
        f"row says otherwise, seed {summary.seed}. The runs depend on each other as real ones do: histories share "
        "prefixes, a stage's noise is common to the places where it stands, histories vary unequally, items lie in "
        f"clusters. A rate is allowed its Monte-Carlo error. {gates} numbers have a band, {controls} belong to wrong "
        "procedures that must be seen to err (*controls*), the others are for the reader. "
        + (f"**{failed} fail.**" if failed else "All pass."),
        "",
    ]
    if second is not None:
        also = "passes as well" if not second.failures else f"fails in {len(second.failures)} numbers"
        lines += [f"A second run with seed {second.seed} and {second.studies:,} studies {also}.", ""]
    for question in questions:
        lines += [f"## {question.title}", "", question.meaning, ""]
        rows = summary.rows[question.name]
        checks = [row for row in rows if row.quantity.startswith("largest difference from the package")]
        tables = [[r for r in rows if r not in checks and (r.role is Role.CONTROL) == wrong] for wrong in (False, True)]
        if tables[0]:
            lines += [*_table(tables[0]), ""]
        if tables[1]:
            lines += ["Controls, which must err:", "", *_table(tables[1]), ""]
        if checks:
            worst = max(row.value for row in checks)
            lines += [f"The simulation's batch form and the package's functions differ by at most {worst:.0e}.", ""]
    return "\n".join(lines).rstrip() + "\n"
