"""The path gap: how far two histories are from each other, beside two replicates of one history."""

from __future__ import annotations

import pandas as pd

from retrain_equivalence.figures.beside import beside_panel
from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Column, Figure, Record, Section, Table
from retrain_equivalence.figures.legend import Entry, of_kinds, of_series
from retrain_equivalence.figures.palette import ORACLE, SERIES, Series, series_of
from retrain_equivalence.figures.panel import common_domain, line_panel
from retrain_equivalence.report.distances import in_test_set_order, measure_words, primary
from retrain_equivalence.report.material import (
    JACKKNIFE,
    Material,
    column,
    id_column,
    is_end,
    mean_columns,
    unlearning_of,
    where_of,
)
from retrain_equivalence.report.words import number, test_set

MOST_PAIRS = 8
"""Pairs drawn: the widest at the last step; all of them are in the table."""
SEED_PAIR = "(seed pair)"


def path_gap(material: Material) -> Section:
    """Return the gap by step on a log axis for each test set, and the gap at equal forgetting."""
    records = list(material.tables["path_gap"])
    main = primary(records)
    at_step = [r for r in main if r["alignment"] == "at_step"]
    at_level = [r for r in main if r["alignment"] == "at_forget_level"]
    figures = tuple(
        _by_step(material, [r for r in at_step if r["test_set"] == name], i)
        for i, name in enumerate(in_test_set_order(at_step))
    )
    level = Table.of(
        "Path gap at equal forgetting: each history at its first step at or past the oracle's forget level",
        (column("test set", "test_set", test_set), column("unlearning", "unlearning"), *_pair_columns(material)),
        at_level,
    )
    excess = primary([r for r in material.tables["excess"] if r["alignment"] == "at_step"])
    if any(r["last"] and r["mean"] is not None for r in excess):
        figures += (_beyond_oracles(material, at_step, excess),)
    return Section(
        name="path-gap",
        title="Path gap",
        says=(
            "The debiased squared distance between two histories that differ in the order of their stages only. If "
            "order did not matter it would be zero up to noise; the dashed grey line is the distance between two "
            "replicates of one history. Steps at which the debiased gap is not positive are missing from a log axis.",
        ),
        figures=figures,
        tables=(level,) if at_level else (),
    )


GAPS = (
    Series(name="gap", label="path gap", colour=SERIES[0].light, dash=(1, 0), shape="circle"),
    Series(name="excess", label="beyond that of the oracles", colour=SERIES[1].light, dash=(1, 0), shape="diamond"),
)


def _beyond_oracles(material: Material, gaps: list[Record], excess: list[Record]) -> Figure:
    """Return path gaps at the last step beside what is left of them without the oracles' own path difference."""
    rank = {name: i for i, name in enumerate(material.unlearnings(excess))}
    last = sorted((r for r in excess if r["last"]), key=lambda r: rank[r["unlearning"]])
    beside = {(r["test_set"], r["unlearning"], r["history"], r["other"]): r for r in gaps if r["last"]}
    size: dict[tuple[str, str], float] = {}
    for r in last:
        pair = (r["history"], r["other"])
        size[pair] = max(size.get(pair, 0.0), abs(r["mean"] or 0.0))
    drawn = set(sorted(size, key=lambda pair: -size[pair])[:MOST_PAIRS])
    chosen = [r for r in last if (r["history"], r["other"]) in drawn and r["mean"] is not None]
    unit, measure = last[0]["unit"], measure_words(last[0]["measure"])
    panels: list[str] = []
    for name in in_test_set_order(chosen):
        rows = []
        for r in (r for r in chosen if r["test_set"] == name):
            label = f"{r['unlearning']} · {_pair(material, r['history'], r['other'])}"
            whole = beside.get((name, r["unlearning"], r["history"], r["other"]))
            rows += [
                {"label": label, "series": kind, "estimate": one["mean"], "low": one["low"], "high": one["high"]}
                for kind, one in (("gap", whole), ("excess", r))
                if one is not None
            ]
        frame = pd.DataFrame(rows).astype({"estimate": float, "low": float, "high": float})
        chart = beside_panel(frame, GAPS, title=test_set(name), x_title=unit)
        words = "; ".join(f"{row['label']} {row['series']} {number(row['estimate'])}" for row in rows)
        panels.append(to_svg(chart, name=f"excess-{len(panels)}", label=f"Gaps on {test_set(name)}: {words}"))
    more = f"; the {len(drawn)} widest of {len(size)} pairs" if len(size) > len(drawn) else ""
    return Figure(
        name="excess",
        title="Do histories end farther apart than their own oracles are?",
        panels=tuple(panels),
        legend=of_kinds(GAPS),
        caption=material.caption(
            f"Debiased {measure} ({unit}) between two histories at the last step, and the same with the difference of "
            "their own oracles taken out first, as vectors; each panel on a scale of its own. If the second is 0, "
            f"retraining in these orders parts models in the same way{more}",
            [r["n"] for r in last],
            JACKKNIFE,
        ),
        table=Table.of(
            "Path gap beyond that of the oracles",
            (
                column("test set", "test_set", test_set),
                column("unlearning", "unlearning"),
                column("step", "step", number, numeric=True),
                Column(head="pair", text=lambda r: _pair(material, r["history"], r["other"])),
                *mean_columns("excess gap"),
                column("seeds", "seed_mean", number, numeric=True),
                column("ratio", "ratio", number, numeric=True),
                column("censored", "censored", number, numeric=True),
                id_column(
                    "excess_path_gap", "G_excess", alignment=where_of, unlearning=unlearning_of,
                    other=lambda r: r["other"],
                ),
            ),
            excess,
            prefer=is_end,
        ),
    )  # fmt: skip


def _pair(material: Material, history: str, other: str) -> str:
    return f"{material.short(history)} – {material.short(other)}"


def _pair_columns(material: Material) -> tuple[Column, ...]:
    return (
        Column(head="pair", text=lambda r: _pair(material, r["history"], r["other"])),
        *mean_columns("gap"),
        column("seed pair", "seed_mean", number, numeric=True),
        column("ratio", "ratio", number, numeric=True),
        column("censored", "censored", numeric=True),
        id_column(
            "path_gap", "G_ab", unlearning=unlearning_of, other=lambda r: r["other"],
            alignment=lambda r: "at_forget_level" if r["step"] is None else where_of(r),
        ),
    )  # fmt: skip


def _by_step(material: Material, records: list[Record], at: int) -> Figure:
    unit, measure = records[0]["unit"], measure_words(records[0]["measure"])
    where = test_set(records[0]["test_set"])
    pairs = list(dict.fromkeys((r["history"], r["other"]) for r in records))
    size = dict.fromkeys(pairs, 0.0)
    for r in records:
        if r["last"] and r["mean"] is not None:
            size[r["history"], r["other"]] = max(size[r["history"], r["other"]], r["mean"])
    drawn = sorted(sorted(pairs, key=lambda pair: -size[pair])[:MOST_PAIRS], key=pairs.index)
    key = {pair: f"{pair[0]}|{pair[1]}" for pair in drawn}
    series = series_of([(key[pair], _pair(material, *pair)) for pair in drawn])
    yardstick = Series(name=SEED_PAIR, label="two replicates of one history, mean", colour=ORACLE.light, dash=(5, 3),
                       shape="circle")  # fmt: skip
    domain = common_domain([r[k] for r in records for k in ("mean", "seed_mean")], log=True)
    panels: list[str] = []
    for unlearning in material.unlearnings(records):
        own = [r for r in records if r["unlearning"] == unlearning]
        points = [
            {"series": key[pair], "x": r["step"], "y": r["mean"], "low": r["low"], "high": r["high"]}
            for r in own
            if (pair := (r["history"], r["other"])) in key
        ]
        steps = sorted({r["step"] for r in own})
        seeds = {
            step: [r["seed_mean"] for r in own if r["step"] == step and r["seed_mean"] is not None] for step in steps
        }
        points += [
            {"series": SEED_PAIR, "x": step, "y": sum(values) / len(values), "low": None, "high": None}
            for step, values in seeds.items()
            if values
        ]
        frame = pd.DataFrame(points).astype({"y": float, "low": float, "high": float})
        bands = len(drawn) <= 3
        chart = line_panel(
            frame if bands else frame.drop(columns=["low", "high"]), [*series, yardstick], title=unlearning,
            x_title="unlearning steps", y_title=f"{unit} (log)", y_domain=domain, log=True,
        )  # fmt: skip
        last = [r for r in own if r["last"]]
        label = f"Path gap on {where}, by step of {unlearning}, log axis; last step: " + "; ".join(
            f"{_pair(material, r['history'], r['other'])} {number(r['mean'])}" for r in last[:12]
        )
        panels.append(to_svg(chart, name=f"gap-{at}-{len(panels)}", label=label))
    left_out = len(pairs) - len(drawn)
    more = f"; the {len(drawn)} pairs that end widest of {len(pairs)}" if left_out else ""
    return Figure(
        name=f"gap-{at}",
        title=f"Path gap on {where}",
        panels=tuple(panels),
        legend=(*of_series(series), Entry(label=yardstick.label, mark="line", colour=ORACLE.light, dash=(5, 3))),
        caption=material.caption(
            f"Debiased {measure} ({unit}, log axis) between two histories, on {where}, by unlearning step{more}",
            [r["n"] for r in records],
            JACKKNIFE + " (in the table)",
        ),
        table=Table.of(
            f"Path gap on {where}",
            (column("unlearning", "unlearning"), column("step", "step", numeric=True), *_pair_columns(material)),
            records,
            prefer=is_end,
        ),
    )
