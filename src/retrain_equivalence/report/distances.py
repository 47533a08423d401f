"""Distances to the retrain oracles, beside the distance of retrained models among themselves."""

from __future__ import annotations

import pandas as pd

from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Column, Figure, Record, Section, Table
from retrain_equivalence.figures.forest import LOOKS, forest_panel
from retrain_equivalence.figures.legend import MARGIN_LINE, RETRAIN_BAND, Entry
from retrain_equivalence.figures.palette import ORACLE
from retrain_equivalence.figures.panel import common_domain, line_panel
from retrain_equivalence.report.material import (
    JACKKNIFE,
    Material,
    column,
    id_column,
    is_end,
    mean_columns,
    one_band,
    spanning,
    unlearning_of,
    where_of,
)
from retrain_equivalence.report.words import (
    MEASURES,
    MOST_LOOKS,
    PRIMARY_MEASURE,
    interval,
    number,
    test_set,
    upper_first,
)


def measure_words(name: str) -> str:
    """Return a distance's words."""
    return MEASURES.get(name, name)


def in_test_set_order(records: list[Record]) -> list[str]:
    """Return the test sets of some records: forget, held out, retain, generic."""
    rank = {"forget": 0, "held_out": 1, "generic": 3}
    return sorted({r["test_set"] for r in records}, key=lambda name: (rank.get(name, 2), name))


def primary(records: list[Record]) -> list[Record]:
    """Return the records of the primary distance; of the first one that is there, if the study has no primary one."""
    measures = list(dict.fromkeys(r["measure"] for r in records))
    chosen = PRIMARY_MEASURE if PRIMARY_MEASURE in measures else measures[0] if measures else ""
    return [r for r in records if r["measure"] == chosen]


def distances(material: Material) -> Section:
    """Return the distance by step for each test set, the forest of ratios, and the other distances at the last step."""
    records = list(material.tables["distances"])
    main = primary(records)
    figures = [_by_step(material, [r for r in main if r["test_set"] == name], i) for i, name in
               enumerate(in_test_set_order(main))]  # fmt: skip
    if forest := _forest(material, main):
        figures.insert(0, forest)
    others = [r for r in records if r["measure"] != main[0]["measure"] and is_end(r)] if main else []
    tables = (_other_measures(material, others),) if others else ()
    return Section(
        name="distances",
        title="Distance to the retrain oracle",
        says=(
            "How far an unlearned model's next-token predictions are from those of models retrained without the "
            "forget stage. Two retrained models of different seeds are not equal either: their distance is the grey "
            "band, and a ratio of 1 to it is as close as retraining gets. Distances pair different replicates only.",
            *_yardstick(material, main),
        ),
        figures=tuple(figures),
        tables=tables,
    )


def _yardstick(material: Material, records: list[Record]) -> tuple[str, ...]:
    """Say how far placebo histories are from their oracles: what an extra stage does that taught something else."""
    placebos = [r for r in records if r["history"] not in material.unlearned and r["ratio"] is not None]
    first = [r for r in placebos if r["test_set"] == in_test_set_order(placebos)[0]]
    if not first:
        return ()
    where = test_set(first[0]["test_set"])
    ratios = sorted(r["ratio"] for r in first)
    size = number(ratios[0]) if len(ratios) == 1 else f"{number(ratios[0])} to {number(ratios[-1])}"
    return (
        "Yardstick: placebo histories, which learned something unrelated in place of the forget stage and are never "
        f"unlearned, are {size} times the band from their oracles on {where}; the tables have them as trained.",
    )


def _by_step(material: Material, records: list[Record], at: int) -> Figure:
    unit, measure = records[0]["unit"], measure_words(records[0]["measure"])
    where = test_set(records[0]["test_set"])
    domain = common_domain(
        [r[k] for r in records for k in ("mean", "low", "high", "band_mean", "band_low", "band_high")]
    )
    series = material.series
    panels: list[str] = []
    for unlearning in material.unlearnings(records):
        own = [r for r in records if r["unlearning"] == unlearning]
        levels = {
            r["oracle"]: (r["band_mean"], r["band_low"], r["band_high"]) for r in own if r["band_mean"] is not None
        }
        frame = pd.DataFrame(
            {"series": r["history"], "x": r["step"], "y": r["mean"], "low": r["low"], "high": r["high"]} for r in own
        ).astype({"y": float, "low": float, "high": float})
        chart = line_panel(
            frame, series, title=unlearning, x_title="unlearning steps", y_title=unit, y_domain=domain,
            bands=one_band(list(levels.values())),
        )  # fmt: skip
        last = [r for r in own if r["last"]]
        label = f"{measure} to the oracle on {where}, by step of {unlearning}; last step: " + "; ".join(
            f"{material.short(r['history'])} {number(r['mean'])}" for r in last
        )
        panels.append(to_svg(chart, name=f"distance-{at}-{len(panels)}", label=label))
    what = (
        f"Mean {measure} ({unit}) between an unlearned model and the oracles of other replicates, on {where}, by "
        "unlearning step; grey: the same distance between two oracles" + spanning(len({r["oracle"] for r in records}))
    )
    return Figure(
        name=f"distance-{at}",
        title=f"Distance on {where}",
        panels=tuple(panels),
        legend=material.legend([RETRAIN_BAND]),
        caption=material.caption(what, [r["n"] for r in records], JACKKNIFE),
        table=Table.of(
            f"{upper_first(measure)} to the oracle on {where}",
            _columns(material),
            records,
            prefer=is_end,
        ),
    )


def _columns(material: Material) -> tuple[Column, ...]:
    return (
        column("unlearning", "unlearning", lambda name: name or "trained"),
        column("history", "history", material.short),
        column("step", "step", numeric=True),
        *mean_columns(),
        column("oracles", "n_oracles", number, numeric=True),
        column("retrain band", "band_mean", number, numeric=True),
        column("ratio", "ratio", number, numeric=True),
        Column(
            head="95 % interval of the ratio", text=lambda r: interval(r["ratio_low"], r["ratio_high"]), numeric=True
        ),
        id_column("oracle_distance", "D_ho/D_oo", alignment=where_of, unlearning=unlearning_of,
                  other=lambda r: r["oracle"]),
    )  # fmt: skip


def _other_measures(material: Material, records: list[Record]) -> Table:
    return Table.of(
        "The other distances, before unlearning and at the last step",
        (column("distance", "measure", measure_words), column("test set", "test_set", test_set), *_columns(material)),
        records,
        prefer=lambda r: bool(r["last"]),
    )


def _verdicts(findings: list[Finding]) -> dict[tuple[str, str, str], Finding]:
    return {(f.test_set, f.unlearning, f.history): f for f in findings}


def farthest_by_position(records: list[Record], number: str) -> list[Record]:
    """Return of each unlearning and position the record with the largest `number`, positions ascending."""
    found: dict[tuple[str, int | None], Record] = {}
    for r in records:
        place = (r["unlearning"], r["position"])
        if place not in found or r[number] > found[place][number]:
            found[place] = r
    rank = {name: i for i, name in enumerate(dict.fromkeys(unlearning for unlearning, _ in found))}
    return sorted(found.values(), key=lambda r: (rank[r["unlearning"]], r["position"] or 0))


def _forest(material: Material, records: list[Record]) -> Figure | None:
    last = [r for r in records if r["last"] and r["ratio"] is not None]
    if not last:
        return None
    asked = [f for f in material.findings if f.contrast == "oracle_distance" and f.margin_kind == "times_band"
             and f.probe == last[0]["probe"] and f.margin is not None]  # fmt: skip
    judged = _verdicts([f for f in asked if f.alignment == "at_end"] or asked)
    margins = sorted({f.margin for f in asked if f.margin is not None})
    bounds = [r[k] for r in last for k in ("ratio", "ratio_low", "ratio_high")]
    domain = common_domain([*bounds, *margins, 1.0], log=True)
    is_many = len(material.unlearned) > MOST_LOOKS
    panels: list[str] = []
    for name in in_test_set_order(last):
        # With many histories a row for each would be a wall; the table behind the figure has them all.
        rank = {unlearning: i for i, unlearning in enumerate(material.unlearnings(last))}
        own = sorted((r for r in last if r["test_set"] == name), key=lambda r: rank[r["unlearning"]])
        if is_many:
            own = farthest_by_position(own, "ratio")
        rows = []
        for r in own:
            finding = judged.get((name, r["unlearning"], r["history"]))
            verdict = str(finding.verdict) if finding and finding.verdict else ""
            rows.append(
                {"label": f"{r['unlearning']} · {material.short(r['history'])}", "estimate": r["ratio"],
                 "low": r["ratio_low"], "high": r["ratio_high"], "verdict": verdict}
            )  # fmt: skip
        frame = pd.DataFrame(rows).astype({"estimate": float, "low": float, "high": float})
        chart = forest_panel(
            frame, title=test_set(name), x_title="times the retrain-retrain distance", domain=domain, nothing=1.0,
            margins=margins, log=True,
        )  # fmt: skip
        words = "; ".join(f"{row['label']} {number(row['estimate'])} {row['verdict']}".strip() for row in rows)
        panels.append(to_svg(chart, name=f"forest-{len(panels)}", label=f"Ratio on {test_set(name)}: {words}"))
    found = {str(f.verdict or "") for f in judged.values()} or {""}
    marks = [
        Entry(label=word.lower() or "estimate; no margin declared", mark="point", colour=colour, shape=shape)
        for word, colour, shape in LOOKS
        if word in found
    ]
    one = Entry(label="1: as far as two retrained models are from each other", mark="rule", colour=ORACLE.light)
    measure = measure_words(last[0]["measure"])
    return Figure(
        name="forest",
        title="Ratio to the retrain band at the last step",
        panels=tuple(panels),
        legend=(*marks, one, *([MARGIN_LINE] if margins else [])),
        caption=material.caption(
            f"{upper_first(measure)} to the oracle at the last step, as a multiple of the distance between two "
            "retrained models (no unit, log axis)"
            + (f"; of {len(material.unlearned)} histories the farthest of each position is drawn" if is_many else ""),
            [r["n"] for r in last],
            JACKKNIFE,
        ),
        table=Table.of(
            "Ratio to the retrain band at the last step",
            (column("test set", "test_set", test_set), *_columns(material)),
            last,
        ),
    )
