"""Trajectories: every scalar probe along unlearning, one line per history, over the level of the retrain oracles."""

from __future__ import annotations

from typing import Any

import pandas as pd

from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Figure, Section, Table
from retrain_equivalence.figures.legend import ORACLE_LEVEL
from retrain_equivalence.figures.panel import common_domain, line_panel
from retrain_equivalence.report.material import Material, column, mean_columns, one_band, spanning, within_fraction
from retrain_equivalence.report.words import BY_SET, number, probe, upper_first

VARIANTS = ("flexible", "samples_strict", "samples_flexible")
"""Other ways to read one answer: closed until a reader opens them."""


def trajectories(material: Material) -> Section:
    """Return one figure per probe; its panels are the unlearnings, with one vertical axis for all of them."""
    records = material.tables["trajectories"]
    probes = list(dict.fromkeys(r["probe"] for r in records if r["kind"] == "history"))
    ranked = sorted(probes, key=_rank)
    figures = tuple(_figure(material, name, i) for i, name in enumerate(ranked))
    return Section(
        name="trajectories",
        title="Trajectories",
        says=(
            "Each line is one history's mean over replicates while the forget stage is unlearned. The grey band is "
            "where models stand that were retrained without the forget stage. An unlearned model that is equivalent "
            "to a retrained one enters the band in every panel, and all lines lie on one another.",
        ),
        figures=figures,
    )


def _rank(name: str) -> tuple[object, ...]:
    return name != "forget_loss", not name.startswith("forget_score"), _is_aside(name), name


def _is_aside(name: str) -> bool:
    """Whether a probe is another reading of one that is shown, or one of many by test set."""
    return name.partition("/")[2] in VARIANTS or name.partition(":")[0] in BY_SET


def _figure(material: Material, name: str, at: int) -> Figure:
    records = [r for r in material.tables["trajectories"] if r["probe"] == name]
    lines = [r for r in records if r["kind"] == "history"]
    oracles = [r for r in records if r["kind"] == "oracle"]
    unit = lines[0]["unit"] or "no unit"
    levels = [(r["mean"], r["low"], r["high"]) for r in oracles if r["mean"] is not None]
    bands = one_band(levels)
    domain = common_domain([r[key] for r in records for key in ("mean", "low", "high")])
    if unit == "fraction" and domain:
        domain = within_fraction(domain)
    series = material.series
    panels: list[str] = []
    for unlearning in material.unlearnings(lines):
        own = [r for r in lines if r["unlearning"] == unlearning]
        frame = pd.DataFrame(
            {"series": r["history"], "x": r["step"], "y": r["mean"], "low": r["low"], "high": r["high"]} for r in own
        ).astype({"y": float, "low": float, "high": float})
        chart = line_panel(
            frame, series, title=unlearning, x_title="unlearning steps", y_title=unit, y_domain=domain, bands=bands
        )
        label = f"{probe(name)}, in {unit}, by step of {unlearning}: " + "; ".join(_ends(material, own))
        panels.append(to_svg(chart, name=f"trajectory-{at}-{len(panels)}", label=label))
    saved = {(u.name, step) for u in material.study.unlearnings for step in (0, *u.steps)}
    censored = sum(1 for r in lines if r["censored"])
    what = f"{upper_first(probe(name))} by unlearning step, in {unit}; a point is the mean over items and replicates"
    what += spanning(len(levels))
    if censored:
        what += "; a line ends or thins where runs were no longer finite (the table counts them)"
    return Figure(
        name=f"trajectory-{at}",
        title=upper_first(probe(name)),
        folded=_is_aside(name),
        panels=tuple(panels),
        legend=material.legend([ORACLE_LEVEL] if bands else []),
        caption=material.caption(what, [r["n"] for r in lines]),
        table=Table.of(
            f"{upper_first(probe(name))}, in {unit}, before unlearning and at the saved steps",
            (
                column("unlearning", "unlearning", lambda u: u or "retrain oracle"),
                column("history", "history", material.short),
                column("step", "step", numeric=True),
                *mean_columns(),
                column("censored", "censored", numeric=True),
                column("failed", "failed", numeric=True),
            ),
            [*oracles, *(r for r in lines if (r["unlearning"], r["step"]) in saved)],
            prefer=lambda r: r["kind"] == "oracle" or _is_end(material, r),
        ),
    )


def _is_end(material: Material, record: Any) -> bool:
    last = {u.name: u.steps[-1] for u in material.study.unlearnings}
    return bool(record["step"] in (0, last.get(record["unlearning"])))


def _ends(material: Material, records: list[Any]) -> list[str]:
    found = []
    for history in dict.fromkeys(r["history"] for r in records):
        own = [r for r in records if r["history"] == history and r["mean"] is not None]
        if own:
            found.append(f"{material.short(history)} from {number(own[0]['mean'])} to {number(own[-1]['mean'])}")
    return found
