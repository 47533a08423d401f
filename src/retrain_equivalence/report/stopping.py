"""What one stopping time for all histories costs, against a best one for each."""

from __future__ import annotations

import pandas as pd

from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Figure, Record, Section, Table
from retrain_equivalence.figures.legend import RETRAIN_BAND, Entry
from retrain_equivalence.figures.palette import INK
from retrain_equivalence.figures.panel import common_domain, line_panel
from retrain_equivalence.report.distances import in_test_set_order, measure_words, primary
from retrain_equivalence.report.material import (
    JACKKNIFE,
    Material,
    column,
    id_column,
    mean_columns,
    one_band,
    spanning,
)
from retrain_equivalence.report.words import interval, number, test_set

PRICE, NAIVE = "price", "naive price"
OWN, COMMON = "D_ho at own best step", "D_ho at common best step"
QUANTITIES = {
    PRICE: "price: common minus own, chosen and judged on different runs",
    "largest price": "the same, largest over histories",
    NAIVE: "naive price: chosen and judged on the same runs, an optimum over noise",
    OWN: "distance at its own best step",
    COMMON: "distance at the common step",
}
"""Quantity of the table -> its words, in reading order."""
OWN_RING = Entry(label="ring: own best step", mark="ring", colour=INK.light)
COMMON_LINE = Entry(label="upright: the common step", mark="rule", colour=INK.light, dash=(2, 3))


def stopping(material: Material) -> Section:
    """Return one figure per test set: distance by step with the chosen steps, and the price under it."""
    records = primary(list(material.tables["stopping"]))
    sets = in_test_set_order(records)
    figures = tuple(_figure(material, [r for r in records if r["test_set"] == s], i) for i, s in enumerate(sets))
    return Section(
        name="stopping",
        title="The price of one stopping time for all",
        says=(
            "Whoever unlearns does not know where in training the data stood, and must stop every model at one step. "
            "The price is how much farther from its oracle a history then ends than at a step of its own. Steps are "
            "chosen on the other replicates and judged on the one left out; choosing and judging on the same runs "
            "gives the naive price, which is never below 0, and above it even where order does not matter. The price "
            "is an estimate with an interval: it decides nothing.",
        ),
        points=tuple(point for name in material.unlearnings(records) if (point := _point(records, name, sets))),
        figures=figures,
    )


def _point(records: list[Record], unlearning: str, sets: list[str]) -> tuple[str, str] | None:
    """Return the sentence on one unlearning: its price on the first test set, and where all would stop."""
    here = [r for r in records if r["unlearning"] == unlearning and r["test_set"] == sets[0]]
    own = {r["quantity"]: r for r in here if not r["history"]}
    price = own.get(PRICE)
    if price is None or price["mean"] is None:
        return None
    said = f"on {test_set(sets[0])} one stopping time for all costs {number(price['mean'])} {price['unit']}"
    if price["low"] is None and price["mean"] == 0:
        said += f" (every history chose the common step on every set of the others, n = {number(price['n'])})"
    else:
        said += f" (95 % interval {interval(price['low'], price['high'])}, n = {number(price['n'])})"
    common = next((r["step"] for r in here if r["quantity"] == COMMON and r["step"] is not None), None)
    if common is not None:
        said += f"; the common step is {number(common)}, the median over what the folds chose"
    naive = own.get(NAIVE)
    if naive is not None and naive["mean"] is not None:
        said += f"; the naive price would be {number(naive['mean'])}"
    return unlearning, said + "."


def _figure(material: Material, records: list[Record], at: int) -> Figure:
    unit, measure, where = records[0]["unit"], measure_words(records[0]["measure"]), records[0]["test_set"]
    curves = [r for r in primary(list(material.tables["distances"])) if r["test_set"] == where and r["unlearning"]]
    domain = common_domain([r[k] for r in curves for k in ("mean", "band_mean", "band_low", "band_high")])
    panels: list[str] = []
    for unlearning in material.unlearnings(records):
        own = [r for r in curves if r["unlearning"] == unlearning]
        chosen = [r for r in records if r["unlearning"] == unlearning and r["step"] is not None]
        height = {(r["history"], r["step"]): r["mean"] for r in own}
        own_best = [r for r in chosen if r["quantity"] == OWN and r["history"]]
        rings = [{"series": r["history"], "x": r["step"], "y": height.get((r["history"], r["step"]))} for r in own_best]
        common = sorted({r["step"] for r in chosen if r["quantity"] == COMMON})
        levels = {r["oracle"]: (r["band_mean"], r["band_low"], r["band_high"]) for r in own
                  if r["band_mean"] is not None}  # fmt: skip
        chart = line_panel(
            pd.DataFrame({"series": r["history"], "x": r["step"], "y": r["mean"]} for r in own).astype({"y": float}),
            material.series,
            title=unlearning,
            x_title="unlearning steps",
            y_title=unit,
            y_domain=domain,
            bands=one_band(list(levels.values())),
            rings=pd.DataFrame(rings, columns=["series", "x", "y"]).astype({"y": float}).dropna(),
            uprights=common,
        )
        label = f"{measure} to the oracle on {test_set(where)} by step of {unlearning}; best steps: "
        label += "; ".join(f"{material.short(r['history'])} {number(r['step'])}" for r in own_best)
        label += "; common step " + (", ".join(map(number, common)) or "none")
        panels.append(to_svg(chart, name=f"stopping-{at}-{len(panels)}", label=label))
    rank = list(QUANTITIES)
    listed = sorted(
        records,
        key=lambda r: (
            material.unlearnings(records).index(r["unlearning"]),
            rank.index(r["quantity"]) if r["quantity"] in rank else len(rank),
        ),
    )
    return Figure(
        name=f"stopping-{at}",
        title=f"When would each history stop nearest to its oracle? {test_set(where).capitalize()}",
        folded=at > 0,
        panels=tuple(panels),
        legend=material.legend([OWN_RING, COMMON_LINE, RETRAIN_BAND]),
        caption=material.caption(
            f"Mean {measure} ({unit}) to independent oracles by unlearning step, lower is nearer. Ring: the step that "
            "is best for the history, the median over what the folds chose; upright: the step that is best for all; "
            "grey: distance between two oracles" + spanning(len({r["oracle"] for r in curves})),
            [r["n"] for r in records],
            f"{JACKKNIFE}; of prices (in the table) by leaving out halves of the replicates, which errs on the "
            "wide side",
        ),
        table=Table.of(
            f"Price of one stopping time on {test_set(where)} ({unit})",
            (
                column("unlearning", "unlearning"),
                column("quantity", "quantity", lambda name: QUANTITIES.get(name, name)),
                column("history", "history", lambda name: material.short(name) if name else "all"),
                column("step", "step", number, numeric=True),
                *mean_columns(),
                id_column("stopping_price", "", step=None, alignment=_alignment, other=lambda r: _oracle(material, r)),
            ),
            listed,
            prefer=lambda r: not r["history"],
        ),
    )


def _oracle(material: Material, record: Record) -> str:
    name = record["history"]
    return material.names[name].history.oracle().name if name else ""


def _alignment(record: Record) -> str:
    return "at_best_step" if record["quantity"] == OWN else "at_common_step"
