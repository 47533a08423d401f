"""Laws against laws: unlearned runs and retrained runs as two samples, told apart or not."""

from __future__ import annotations

import pandas as pd

from retrain_equivalence.equivalence.distribution import ENERGY
from retrain_equivalence.equivalence.finding import ALPHA
from retrain_equivalence.equivalence.measurements import LABEL_MARGIN
from retrain_equivalence.figures.beside import beside_panel
from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Figure, Record, Section, Table
from retrain_equivalence.figures.legend import of_kinds
from retrain_equivalence.figures.palette import ORACLE, SERIES, Series
from retrain_equivalence.figures.panel import common_domain
from retrain_equivalence.report.distances import farthest_by_position, in_test_set_order
from retrain_equivalence.report.material import Material, column, id_column
from retrain_equivalence.report.words import MOST_LOOKS, counted, number, probe, test_set

KINDS = (
    Series(name="statistic", label="unlearned runs against oracles", colour=SERIES[0].light, dash=(1, 0),
           shape="circle"),
    Series(name="null", label="oracles against oracles", colour=ORACLE.light, dash=(1, 0), shape="square"),
)  # fmt: skip


def laws(material: Material) -> Section:
    """Return one figure per kind of law, with p-values and what they can reach."""
    records = list(material.tables["distribution"])
    kinds = dict.fromkeys(_kind(r) for r in records if r["statistic"] is not None)
    figures = tuple(
        _figure(material, [r for r in records if _kind(r) == kind], kind, i) for i, kind in enumerate(kinds)
    )
    return Section(
        name="laws",
        title="Laws of unlearned and of retrained runs",
        says=(
            "Equivalence in law asks more than nearness on average: could one tell, from whole runs, which were "
            "unlearned and which retrained? Two independent sets of runs are compared; the p-value comes from giving "
            "the labels to whole runs at random, and stands where a comparison asked for it. With few runs it cannot "
            "be small whatever the data: the table has the smallest value it could take. A large p-value is no "
            "evidence of equal laws.",
        ),
        figures=figures,
    )


def _kind(record: Record) -> str:
    """Return whether a record is of label margins, or of which probe's predictions."""
    name = str(record["probe"])
    return LABEL_MARGIN if name.partition(":")[0] == LABEL_MARGIN else name


def _is_reachable(record: Record) -> bool:
    return record["smallest_p"] is not None and record["smallest_p"] <= ALPHA


def _label(material: Material, r: Record) -> str:
    p = "" if r["p_value"] is None else f" · p = {number(r['p_value'], 2)}"
    return f"{r['unlearning'] or 'trained'} · {material.short(r['history'])}{p}"


def _figure(material: Material, records: list[Record], kind: str, at: int) -> Figure:
    drawn = [r for r in records if r["statistic"] is not None]
    unit = str(drawn[0]["unit"])
    domain = common_domain([0.0, *(r[k] for r in drawn for k in ("statistic", "null_mean"))])
    is_many = len(material.unlearned) > MOST_LOOKS
    panels: list[str] = []
    for name in in_test_set_order(drawn):
        own = [r for r in drawn if r["test_set"] == name]
        if is_many:
            own = farthest_by_position(own, "statistic")
        rows = [
            {"label": _label(material, r), "series": series, "estimate": r[key], "low": None, "high": None}
            for r in own
            for series, key in (("statistic", "statistic"), ("null", "null_mean"))
        ]
        frame = pd.DataFrame(rows).astype({"estimate": float, "low": float, "high": float})
        chart = beside_panel(
            frame, KINDS, title=test_set(name), x_title=f"energy distance ({unit})", domain=domain, level=True
        )
        words = "; ".join(f"{_label(material, r)} {number(r['statistic'])}" for r in own)
        panels.append(to_svg(chart, name=f"laws-{at}-{len(panels)}", label=f"Energy on {test_set(name)}: {words}"))
    what = (
        "label margins" if kind == LABEL_MARGIN else f"predictions ({probe(kind.partition('/')[0]).partition(': ')[2]})"
    )
    return Figure(
        name=f"laws-{at}",
        title=f"Can unlearned runs be told from retrained ones? By {what}",
        folded=at > 0,
        panels=tuple(panels),
        legend=of_kinds(KINDS),
        caption=material.caption(
            f"Energy distance ({unit}) between the laws of unlearned runs and of independent oracles, by {what}; 0 in "
            "the mean for equal laws, joined to what oracles give against oracles in sets of these sizes"
            + _reach(records)
            + (f". Of {len(material.unlearned)} histories the farthest of each position is drawn" if is_many else ""),
            [r["n"] for r in drawn],
            "p by permutation of whole runs, so there is no interval",
        ),
        table=_table(material, records, kind, f"Energy distance between laws, by {what} ({unit})"),
    )


def _reach(records: list[Record]) -> str:
    sizes = sorted({(r["n"], r["n_oracles"]) for r in records})
    against = " or ".join(f"{counted(n, 'unlearned run')} against {counted(m, 'oracle')}" for n, m in sizes)
    unreachable = sum(not _is_reachable(r) for r in records)
    if not unreachable:
        return f"; {against}"
    return f"; {against}, where {unreachable} of {len(records)} tests cannot reach 5 % and so have no p-value"


def _table(material: Material, records: list[Record], kind: str, caption: str) -> Table:
    divergence = (
        column("normal KL", "gaussian_kl", number, numeric=True),
        column("normal KL, oracles", "gaussian_kl_null", number, numeric=True),
    )
    return Table.of(
        caption,
        (
            column("test set", "test_set", test_set),
            column("unlearning", "unlearning"),
            column("history", "history", material.short),
            column("energy distance", "statistic", number, numeric=True),
            column("oracles against oracles", "null_mean", number, numeric=True),
            *(divergence if kind == LABEL_MARGIN else ()),
            column("p", "p_value", number, numeric=True),
            column("smallest p", "smallest_p", number, numeric=True),
            column("runs", "n", number, numeric=True),
            column("oracles", "n_oracles", number, numeric=True),
            column("kept apart by", "independent"),
            column("why no p", "reason"),
            column("censored", "censored", number, numeric=True),
            column("failed", "failed", number, numeric=True),
            # A finding of margins is of a scalar probe, whose name has the test set.
            id_column(
                "distribution", ENERGY, other=lambda r: r["other"],
                test_set=lambda r: "" if kind == LABEL_MARGIN else r["test_set"],
            ),
        ),
        records,
    )  # fmt: skip
