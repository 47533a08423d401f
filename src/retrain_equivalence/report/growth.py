"""Does a method drive histories apart, and how? Early and late rates, their class, and the same for seeds."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from retrain_equivalence.figures.beside import beside_panel
from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Column, Figure, Record, Section, Table
from retrain_equivalence.figures.legend import MARGIN_LINE, of_kinds
from retrain_equivalence.figures.palette import ORACLE, SERIES, Series
from retrain_equivalence.figures.panel import common_domain
from retrain_equivalence.report.distances import in_test_set_order
from retrain_equivalence.report.material import INTERVAL, JACKKNIFE, Material, column, id_column
from retrain_equivalence.report.methods import GAP_MEASURES, PRIMARY_GAP, WEIGHTS
from retrain_equivalence.report.words import NOTHING, interval, number, test_set

KINDS = (
    Series(name="early_path", label="histories, early half", colour=SERIES[0].light, dash=(1, 0), shape="circle"),
    Series(name="late_path", label="histories, late half", colour=SERIES[0].light, dash=(1, 0), shape="diamond"),
    Series(name="early_seed", label="seeds of one history, early half", colour=ORACLE.light, dash=(1, 0),
           shape="square"),
    Series(name="late_seed", label="seeds of one history, late half", colour=ORACLE.light, dash=(1, 0),
           shape="triangle-up"),
)  # fmt: skip


def growth(material: Material) -> Section:
    """Return early and late rates of histories and seeds by method, their classes, and those of single pairs."""
    records = [r for r in material.tables["growth"] if r["measure"] in GAP_MEASURES]
    pairs = [r for r in material.tables["growth_pairs"] if r["measure"] in GAP_MEASURES]
    drawn = [r for r in records if r["measure"] == PRIMARY_GAP and r["early_path_rate"] is not None]
    others = [r for r in records if r not in drawn]
    return Section(
        name="growth",
        title="How histories part",
        says=(
            "The gap between two histories of equal draws, and its rate over the first and the second half of the "
            "steps. Frozen: both rates are within the declared margin of 0. Saturating: it grows, then stops. "
            "Contracting: it shrinks. Exponential: it grows at one rate. Linear: it grows ever more slowly. A rate "
            "says something about order only beside that of two seeds of one history: a method that drives all models "
            "apart drives histories apart too.",
        ),
        figures=(_figure(material, drawn),) if drawn else (),
        tables=(*((_classes(material, others),) if others else ()), *((_pairs(material, pairs),) if pairs else ())),
    )


def _figure(material: Material, records: list[Record]) -> Figure:
    keys = [f"{half}_{who}_{end}" for half in ("early", "late") for who in ("path", "seed") for end in ("low", "high")]
    rates = [f"{half}_{who}_rate" for half in ("early", "late") for who in ("path", "seed")]
    margins = sorted({r["margin"] for r in records if r["margin"] is not None})
    both = [side for margin in margins for side in (-margin, margin)]
    domain = common_domain([0.0, *both, *(r[k] for r in records for k in (*rates, *keys))])
    panels: list[str] = []
    for name in in_test_set_order(records):
        own = [r for r in records if r["test_set"] == name]
        rows = [
            {"label": _label(r), "series": kind.name, "estimate": r[f"{kind.name}_rate"], "low": r[f"{kind.name}_low"],
             "high": r[f"{kind.name}_high"]}
            for r in own
            for kind in KINDS
        ]  # fmt: skip
        frame = pd.DataFrame(rows).astype({"estimate": float, "low": float, "high": float})
        chart = beside_panel(
            frame, KINDS, title=test_set(name), x_title=str(own[0]["unit"]), domain=domain, margins=both
        )
        words = "; ".join(
            f"{_label(r)}: {number(r['early_path_rate'])}, then {number(r['late_path_rate'])}" for r in own
        )
        panels.append(to_svg(chart, name=f"growth-{len(panels)}", label=f"Rates on {test_set(name)}: {words}"))
    return Figure(
        name="growth-rates",
        title="Does unlearning drive histories apart, and faster than seeds?",
        panels=tuple(panels),
        legend=of_kinds(KINDS, [MARGIN_LINE] if margins else []),
        caption=material.caption(
            f"Slope of the logarithm of the gap in {GAP_MEASURES[PRIMARY_GAP]} ({records[0]['unit']}); right of 0 the "
            "gap grows. Beside a method's name the class of its histories, where a margin was declared",
            [r["n"] for r in records],
            f"{INTERVAL}; for seeds {JACKKNIFE}; classes are read from wider intervals, of 98.3 % each, that hold "
            "together",
        ),
        table=_classes(material, records),
    )


def _label(record: Record) -> str:
    said = record["class"] or record["word"]
    return f"{record['unlearning']} · {said}" if said else str(record["unlearning"])


def _with_interval(name: str, low: str, high: str) -> Callable[[Record], str]:
    def text(r: Record) -> str:
        spread = interval(r[low], r[high])
        return number(r[name]) + ("" if spread == NOTHING else f" ({spread})")

    return text


def _rate(head: str, stem: str) -> Column:
    return Column(head=head, text=_with_interval(f"{stem}_rate", f"{stem}_low", f"{stem}_high"), numeric=True)


def _place(record: Record) -> str:
    return "all weights" if record["test_set"] == WEIGHTS else test_set(record["test_set"])


def _classes(material: Material, records: list[Record]) -> Table:
    return Table.of(
        "Classes of growth: rates of histories and of seeds, early and late"
        + ("" if any(r["margin"] is not None for r in records) else "; no margin was declared for them, so no class"),
        (
            column("unlearning", "unlearning"),
            Column(head="gap in", text=lambda r: GAP_MEASURES[r["measure"]]),
            Column(head="on", text=_place),
            column("class of histories", "class", lambda word: word or NOTHING),
            column("class of seeds", "seed_class", lambda word: word or NOTHING),
            _rate("early", "early_path"),
            _rate("late", "late_path"),
            _rate("early, seeds", "early_seed"),
            _rate("late, seeds", "late_seed"),
            Column(
                head="histories minus seeds, whole run",
                text=_with_interval("difference", "difference_low", "difference_high"),
                numeric=True,
            ),
            column("margin", "margin", number, numeric=True),
            column("n", "n", number, numeric=True),
            column("censored", "censored", number, numeric=True),
            column("failed", "failed", number, numeric=True),
            Column(head="note", text=lambda r: r["reason"] or r["ceiling"]),
            id_column("growth", "path rate", alignment="window", step=lambda r: _last(material, r)),
        ),
        records,
        prefer=lambda r: r["measure"] == PRIMARY_GAP,
        folded=True,
    )


def _last(material: Material, record: Record) -> int:
    return next(max(u.steps) for u in material.study.unlearnings if u.name == record["unlearning"])


def _pairs(material: Material, records: list[Record]) -> Table:
    return Table.of(
        material.caption(
            "Rates of each pair of histories; the margin is for all pairs together, so a pair's class decides nothing",
            [r["n"] for r in records],
            INTERVAL,
        ),
        (
            column("unlearning", "unlearning"),
            Column(head="gap in", text=lambda r: GAP_MEASURES[r["measure"]]),
            Column(head="on", text=_place),
            Column(head="pair", text=lambda r: f"{material.short(r['history'])} – {material.short(r['other'])}"),
            Column(head="class", text=lambda r: r["class"] or r["word"] or NOTHING),
            Column(head="rate", text=_with_interval("rate", "rate_low", "rate_high"), numeric=True),
            Column(head="early", text=_with_interval("early", "early_low", "early_high"), numeric=True),
            Column(head="late", text=_with_interval("late", "late_low", "late_high"), numeric=True),
            column("n", "n", number, numeric=True),
            id_column(
                "growth", "path rate", alignment="window", step=lambda r: _last(material, r), other=lambda r: r["other"]
            ),
        ),
        records,
        prefer=lambda r: r["measure"] == PRIMARY_GAP and r["test_set"] == "forget",
        folded=True,
    )
