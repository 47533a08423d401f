"""Order or noise? How much histories differ, beside how much seeds of one history do."""

from __future__ import annotations

import pandas as pd

from retrain_equivalence.figures.beside import beside_panel
from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Figure, Record, Section, Table
from retrain_equivalence.figures.legend import of_kinds
from retrain_equivalence.figures.palette import ORACLE, SERIES, Series
from retrain_equivalence.figures.panel import common_domain
from retrain_equivalence.report.distances import in_test_set_order, measure_words, primary
from retrain_equivalence.report.material import (
    Material,
    column,
    id_column,
    mean_columns,
    unlearning_of,
    where_of,
)
from retrain_equivalence.report.words import number, probe, test_set, upper_first

KINDS = (
    Series(name="history", label="between histories", colour=SERIES[0].light, dash=(1, 0), shape="circle"),
    Series(name="seed", label="between seeds of one history", colour=ORACLE.light, dash=(1, 0), shape="square"),
)
HOW = "95 % jackknife interval over replicates; p by sign flips of whole replicates"


def spread(material: Material) -> Section:
    """Return the components of variance of predictions and of scalars at the last step, and the table of all steps."""
    records = list(material.tables["spread"])
    distances = primary([r for r in records if r["test_set"]])
    scalars = [r for r in records if not r["test_set"]]
    figures = []
    if any(r["last"] for r in distances):
        figures.append(_of_distances(material, distances))
    if any(r["last"] for r in scalars):
        figures.append(_of_scalars(material, scalars))
    return Section(
        name="spread",
        title="Order or noise?",
        says=(
            "The variance of outcomes split in two: between the mean outcomes of histories, and between seeds of one "
            "history. If order did not matter the first would be 0 up to noise. It is unbiased and may come out below "
            "0. A ratio of 1 says that the order of training moves the outcome as much as the draw of the seed does.",
        ),
        figures=tuple(figures),
    )


def _label(record: Record) -> str:
    p = record["p_value"]
    return str(record["unlearning"] or "trained") + ("" if p is None else f" · p = {number(p, 2)}")


def _bars(records: list[Record]) -> pd.DataFrame:
    rows = []
    for r in records:
        rows.append({"label": _label(r), "series": "history", "estimate": r["history_component"],
                     "low": r["history_low"], "high": r["history_high"]})  # fmt: skip
        rows.append({"label": _label(r), "series": "seed", "estimate": r["seed_component"], "low": None, "high": None})
    return pd.DataFrame(rows).astype({"estimate": float, "low": float, "high": float})


def _words(records: list[Record]) -> str:
    return "; ".join(
        f"{_label(r)}: between histories {number(r['history_component'])}, between seeds {number(r['seed_component'])}"
        for r in records
    )


def _of_distances(material: Material, records: list[Record]) -> Figure:
    unit, measure = records[0]["unit"], measure_words(records[0]["measure"])
    last = [r for r in records if r["last"]]
    domain = common_domain(
        [0.0, *(r[k] for r in last for k in ("history_component", "history_low", "history_high", "seed_component"))]
    )
    panels: list[str] = []
    for name in in_test_set_order(last):
        own = [r for r in last if r["test_set"] == name]
        chart = beside_panel(_bars(own), KINDS, title=test_set(name), x_title=unit, domain=domain, bars=True)
        panels.append(to_svg(chart, name=f"spread-{len(panels)}", label=f"{test_set(name)}: {_words(own)}"))
    return Figure(
        name="spread-predictions",
        title="Does order move predictions more than the seed does?",
        panels=tuple(panels),
        legend=of_kinds(KINDS),
        caption=material.caption(
            f"Components of variance of next-token predictions at the last step ({unit}, from {measure}), one row per "
            "unlearning; a whole interval right of 0: order matters",
            [r["n"] for r in last],
            HOW,
        ),
        table=_table(material, f"Components of variance of predictions ({unit})", records),
    )


def _of_scalars(material: Material, records: list[Record]) -> Figure:
    last = [r for r in records if r["last"]]
    panels: list[str] = []
    for name in dict.fromkeys(r["probe"] for r in last):
        own = [r for r in last if r["probe"] == name]
        unit = f"({own[0]['unit']})²" if not own[0]["unit"].endswith("²") else own[0]["unit"]
        chart = beside_panel(_bars(own), KINDS, title=upper_first(probe(name)), x_title=unit, bars=True)
        panels.append(to_svg(chart, name=f"spread-scalars-{len(panels)}", label=f"{probe(name)}: {_words(own)}"))
    return Figure(
        name="spread-scalars",
        title="Does order move scores more than the seed does?",
        folded=True,
        panels=tuple(panels),
        legend=of_kinds(KINDS),
        caption=material.caption(
            "Components of variance of the mean score of a run at the last step (squared unit of the probe, each panel "
            "on a scale of its own), one row per unlearning; a whole interval right of 0: order matters",
            [r["n"] for r in last],
            HOW,
        ),
        table=_table(material, "Components of variance of scores", records),
    )


def _table(material: Material, caption: str, records: list[Record]) -> Table:
    return Table.of(
        caption,
        (
            column("of", "probe", probe),
            column("test set", "test_set", lambda name: test_set(name) if name else "all items"),
            column("unlearning", "unlearning", lambda name: name or "trained"),
            column("step", "step", number, numeric=True),
            *mean_columns("between histories", ("history_component", "history_low", "history_high")),
            column("between seeds", "seed_component", number, numeric=True),
            column("ratio", "ratio", number, numeric=True),
            column("p", "p_value", number, numeric=True),
            id_column("path_spread", "rho", alignment=where_of, unlearning=unlearning_of),
        ),
        records,
        prefer=lambda r: bool(r["last"]),
    )
