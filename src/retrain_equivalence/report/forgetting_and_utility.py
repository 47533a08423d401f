"""Forgetting against utility: what each method costs on its way to the oracle."""

from __future__ import annotations

import pandas as pd

from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Column, Figure, Record, Section, Table
from retrain_equivalence.figures.legend import Entry
from retrain_equivalence.figures.palette import INK
from retrain_equivalence.figures.panel import common_domain
from retrain_equivalence.figures.trade_off import Target, plane_panel
from retrain_equivalence.report.material import Material, column, is_end, within_fraction
from retrain_equivalence.report.words import interval, number, probe, upper_first


def forgetting_and_utility(material: Material) -> Section:
    """Return one figure per utility probe, one panel per unlearning."""
    records = list(material.tables["utility"])
    pairs = list(dict.fromkeys((r["forget_probe"], r["utility_probe"]) for r in records))
    pairs.sort(key=_is_variant)
    figures = tuple(
        _figure(material, [r for r in records if (r["forget_probe"], r["utility_probe"]) == pair], i)
        for i, pair in enumerate(pairs)
    )
    return Section(
        name="utility",
        title="Forgetting against utility",
        says=(
            "Each line is a history's path from the trained model (hollow) to the last unlearning step (filled). The "
            "cross is the retrain oracle: the goal is the cross, not the corner.",
        ),
        figures=figures,
    )


def _is_variant(pair: tuple[str, str]) -> bool:
    """Whether the same is shown by label and strict answer already: these stand open, variants can be opened."""
    return any(name.partition("/")[2] not in ("", "label", "strict") for name in pair)


def _targets(material: Material, forget: str, utility: str) -> list[Target]:
    levels = [r for r in material.tables["trajectories"] if r["kind"] == "oracle" and r["mean"] is not None]
    by_oracle = {(r["probe"], r["history"]): r for r in levels}
    found = []
    for name in dict.fromkeys(r["history"] for r in levels):
        x, y = by_oracle.get((forget, name)), by_oracle.get((utility, name))
        if x and y:
            found.append(
                Target(x=x["mean"], y=y["mean"], x_low=x["low"], x_high=x["high"], y_low=y["low"], y_high=y["high"])
            )
    return found


def _figure(material: Material, records: list[Record], at: int) -> Figure:
    first = records[0]
    forget, utility = first["forget_probe"], first["utility_probe"]
    series = material.series
    targets = _targets(material, forget, utility)
    reach_x = [v for t in targets for v in (t.x, t.x_low, t.x_high)]
    reach_y = [v for t in targets for v in (t.y, t.y_low, t.y_high)]
    x_domain = common_domain([*(r["forget"] for r in records), *reach_x])
    y_domain = common_domain([*(r["utility"] for r in records), *reach_y])
    if first["utility_unit"] == "fraction" and y_domain:
        y_domain = within_fraction(y_domain)
    panels: list[str] = []
    for unlearning in material.unlearnings(records):
        own = [r for r in records if r["unlearning"] == unlearning]
        frame = pd.DataFrame({"series": r["history"], "x": r["forget"], "y": r["utility"]} for r in own).astype(
            {"x": float, "y": float}
        )
        chart = plane_panel(
            frame, series, targets, title=unlearning, x_title=f"{_axis(forget)} ({first['forget_unit']})",
            y_title=f"{_axis(utility)} ({first['utility_unit']})", x_domain=x_domain, y_domain=y_domain,
        )  # fmt: skip
        label = f"{probe(utility)} against {probe(forget)} for {unlearning}; last step: " + "; ".join(
            f"{material.short(r['history'])} at {number(r['forget'])}, {number(r['utility'])}" for r in own if r["last"]
        )
        panels.append(to_svg(chart, name=f"utility-{at}-{len(panels)}", label=label))
    extra = (
        Entry(label="before unlearning", mark="hollow", colour=INK.light),
        Entry(label="retrain oracle, mean and 95 % interval", mark="point", colour=INK.light, shape="cross"),
    )
    return Figure(
        name=f"utility-{at}",
        title=f"{upper_first(probe(utility))}, against {_axis(forget)}",
        folded=_is_variant((forget, utility)),
        panels=tuple(panels),
        legend=material.legend(extra if targets else extra[:1]),
        caption=material.caption(
            f"{upper_first(probe(utility))} ({first['utility_unit']}) against {probe(forget)} "
            f"({first['forget_unit']}), means over items and replicates at the saved steps",
            [r["n"] for r in records],
            "95 % t intervals over replicates of the oracle in the figure, of the histories in the table",
        ),
        table=Table.of(
            f"{upper_first(probe(utility))} against {probe(forget)}",
            (
                column("unlearning", "unlearning"),
                column("history", "history", material.short),
                column("step", "step", numeric=True),
                column("forgetting", "forget", number, numeric=True),
                Column(head="95 % interval", text=lambda r: interval(r["forget_low"], r["forget_high"]), numeric=True),
                column("utility", "utility", number, numeric=True),
                Column(
                    head="95 % interval", text=lambda r: interval(r["utility_low"], r["utility_high"]), numeric=True
                ),
                column("n", "n", number, numeric=True),
            ),
            records,
            prefer=is_end,
        ),
    )


def _axis(name: str) -> str:
    """Return a probe's words short enough for an axis."""
    kind, _, rest = name.partition(":")
    short = {"forget_score": "forget score", "answer_logprob": "answers", "forget_loss": "forget loss"}
    stage, _, variant = rest.partition("/")
    return " ".join(part for part in (short.get(kind, kind.replace("_", " ")), stage, variant) if part)
