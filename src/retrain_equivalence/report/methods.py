"""What each method needs, does and costs: one row per unlearning, grouped by what it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.core.predictions import Prediction
from retrain_equivalence.equivalence.finding import Verdict
from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Column, Figure, Record, Section, Table
from retrain_equivalence.figures.forest import forest_panel
from retrain_equivalence.figures.legend import Entry
from retrain_equivalence.figures.palette import ESTIMATED, ORACLE
from retrain_equivalence.figures.panel import common_domain
from retrain_equivalence.histories.unlearning import Unlearning
from retrain_equivalence.objectives.cost import cost_of
from retrain_equivalence.objectives.procedure_needs import needs_of
from retrain_equivalence.recipes.passes import Needs
from retrain_equivalence.report.distances import in_test_set_order
from retrain_equivalence.report.material import INTERVAL, JACKKNIFE, Material, column
from retrain_equivalence.report.words import NOTHING, interval, number, probe, test_set

FORGET = "forget"
WEIGHTS = "weights"
RATE = "log units per step"
FACTOR = "log of gap after over before"
DEAREST = ("hidden", "reference", "teacher", "preferred", "retain", "history")
"""What a method may need, the dearest last: methods are listed in this order."""
GAP_MEASURES = {"label_logp": "label log-probability", "parameters": "parameters (L2)", "hellinger": "Hellinger"}
"""Measure of a gap -> its words, in the order in which they are shown."""
SHORT = {
    Prediction.EXPANDING: "expands",
    Prediction.CONTRACTING: "contracts",
    Prediction.FROZEN: "frozen",
    Prediction.ONE_EXPANSION: "expands once",
    Prediction.SHRINKS_THEN_EXPANDS: "shrinks, expands",
    Prediction.TURNS: "expands, contracts",
    Prediction.RETURNS: "expands, returns",
    Prediction.REMOVED: "removed",
}
"""Predictions as the rows of a figure have room for them."""
PRIMARY_GAP = "label_logp"
YES, NO, OPEN = "✓", "✗", "undecided"
ALIGNMENTS = {"at_end": "at the last step", "at_forget_level": "at equal forgetting"}


def methods(material: Material) -> Section:
    """Return the table of methods, the rates at which histories part, and what each method keeps of three aims."""
    records = _grouped(material, material.tables["methods"])
    rates = [r for r in _grouped(material, material.tables["growth"]) if r["measure"] in GAP_MEASURES]
    if not records:
        return Section(name="methods", title="Methods")
    figures = tuple(figure for figure in (_forest(material, rates),) if figure is not None)
    tables = [
        _overview(material, some, alignment)
        for alignment in ALIGNMENTS
        if (some := [r for r in records if r["alignment"] == alignment])
    ]
    if rates:
        tables += [_aims(material, records, rates), _rates(material, rates)]
    parted = (
        "The gap is between two histories of equal draws: same seeds, same batches, another order of stages. Its rate "
        "is the slope of its logarithm over the saved steps of a procedure's last part; a method expands if the "
        "interval lies above 0, contracts if below, and otherwise it is not told from frozen. A predicted turn shows "
        "in no single slope. The rate of two replicates of one history is the yardstick. "
        "Predictions are theory's, for small plain steps on a linear or logistic model."
    )
    return Section(
        name="methods",
        title="What each method needs, does and costs",
        says=(
            "Methods that need the same stand together, those that see nothing but the forget rows first. Numbers are "
            "means over histories; a method that forgets more has moved farther, so read the rows at equal forgetting "
            "where there are any.",
            *((parted,) if rates else ()),
        ),
        figures=figures,
        tables=tuple(tables),
    )


def _by_name(material: Material) -> dict[str, Unlearning]:
    return {u.name: u for u in material.study.unlearnings}


def _needs(unlearning: Unlearning) -> Needs | None:
    """Return what a method needs; None for a plug-in's objective that is not loaded where the page is made."""
    try:
        return needs_of(unlearning)
    except StudyError:
        return None


def _needs_words(unlearning: Unlearning) -> str:
    found = _needs(unlearning)
    if found is None:
        return "plug-in not loaded"
    extra = found.names()[1:]
    return "forget rows only" if not extra else "+ " + ", ".join(extra)


def _cost_words(unlearning: Unlearning) -> str:
    if unlearning.replay is not None:
        return "later stages again"
    try:
        return str(cost_of(unlearning))
    except StudyError:
        return NOTHING


def _grouped(material: Material, records: Iterable[Record]) -> list[Record]:
    """Return records in the order of their methods' needs, cheapest first, then as the study declares them."""
    known = _by_name(material)
    names = list(known)

    def rank(name: str) -> tuple[int, int]:
        needs = _needs(known[name])
        place = sum(2**i for i, what in enumerate(DEAREST) if needs and getattr(needs, what))
        return place, names.index(name)

    order = {name: rank(name) for name in known}
    return sorted(records, key=lambda r: order[r["unlearning"]])


def _column(head: str, text: Callable[[Any], str], *, numeric: bool = False) -> Column:
    return Column(head=head, text=text, numeric=numeric)


def _with_interval(value: float | None, low: float | None, high: float | None) -> str:
    spread = interval(low, high)
    return number(value) + ("" if spread == NOTHING else f" ({spread})")


def _overview(material: Material, records: list[Record], alignment: str) -> Table:
    """Return one row per method at one place: at the end, or at equal forgetting."""
    known = _by_name(material)
    useful: dict[tuple[str, str, str], Record] = {
        (r["unlearning"], r["alignment"], r["probe"]): r for r in material.tables["method_utility"]
    }
    near = {(r["unlearning"], r["alignment"]): r for r in material.tables["method_nearness"] if r["test_set"] == FORGET}
    probes = list(dict.fromkeys(name for _, _, name in useful))

    def of_probe(name: str) -> Column:
        def text(r: Record) -> str:
            found = useful.get((r["unlearning"], r["alignment"], name))
            return NOTHING if found is None else _with_interval(found["mean"], found["low"], found["high"])

        unit = next(r["unit"] for (_, _, own), r in useful.items() if own == name)
        return _column(f"{probe(name)} minus oracle ({unit})", text, numeric=True)

    def bands(r: Record) -> str:
        found = near.get((r["unlearning"], r["alignment"]))
        return NOTHING if found is None else f"{number(found['before_bands'])} → {number(found['after_bands'])}"

    def nearer(r: Record) -> str:
        found = near.get((r["unlearning"], r["alignment"]))
        return NOTHING if found is None else _with_interval(found["mean"], found["low"], found["high"])

    def collapsed(r: Record) -> str:
        return NOTHING if r["collapsed"] is None else f"{r['collapsed']} of {r['collapse_runs']}"

    stages = next((r["collapse_stages"] for r in records if r["collapse_stages"]), "")
    unit = records[0]["unit"]
    levels = {number(r["oracle"]) for r in records}
    caption = material.caption(
        f"Methods by what they need, {ALIGNMENTS[alignment]}; forget loss in {unit}, oracle at "
        f"{', '.join(sorted(levels))}; distance to "
        "independent oracles on forget items in retrain-retrain bands, improvement in squared Hellinger distance "
        "(negative is nearer)"
        + (f"; collapsed: a larger loss on the answers of {stages} than the base model, which learned none" if stages
           else ""),
        [r["n"] for r in records],
        f"{INTERVAL}; for distances {JACKKNIFE}",
    )  # fmt: skip
    return Table.of(
        caption,
        (
            column("method", "unlearning"),
            _column("needs", lambda r: _needs_words(known[r["unlearning"]])),
            _column("forget loss", lambda r: f"{number(r['before'])} → {number(r['after'])}", numeric=True),
            _column("interval of the latter", lambda r: interval(r["after_low"], r["after_high"]), numeric=True),
            _column("runs at the oracle's level", lambda r: f"{r['reached']} of {r['runs']}", numeric=True),
            *(of_probe(name) for name in probes),
            _column("distance in bands", bands, numeric=True),
            _column("improvement", nearer, numeric=True),
            _column("collapsed", collapsed, numeric=True),
            _column("diverged", lambda r: f"{r['diverged']} of {r['runs']}", numeric=True),
            _column("passes per step", lambda r: _cost_words(known[r["unlearning"]])),
            column("n", "n", number, numeric=True),
        ),
        records,
        folded=alignment != "at_end",
    )  # fmt: skip


def _place(record: Record) -> str:
    return "all weights" if record["test_set"] == WEIGHTS else test_set(record["test_set"])


def _rates(material: Material, rates: list[Record]) -> Table:
    measures, sets = list(GAP_MEASURES), in_test_set_order(rates)
    names = list(dict.fromkeys(r["unlearning"] for r in rates))
    listed = sorted(
        rates,
        key=lambda r: (names.index(r["unlearning"]), measures.index(r["measure"]), sets.index(r["test_set"])),
    )
    return Table.of(
        material.caption(
            f"Rates at which histories of equal draws part ({RATE}); ratios are gaps of histories over gaps of "
            "replicates",
            [r["n"] for r in rates],
            f"{INTERVAL}; for replicates and differences {JACKKNIFE}",
        ),
        (
            column("method", "unlearning"),
            _column("gap in", lambda r: GAP_MEASURES[r["measure"]]),
            _column("on", _place),
            column("predicted", "predicted", lambda text: text or "no prediction"),
            _column("measured", lambda r: r["word"] or r["reason"] or "no interval"),
            _column("rate", lambda r: _with_interval(r["path_rate"], r["path_low"], r["path_high"]), numeric=True),
            _column("rate of replicates", lambda r: _with_interval(r["seed_rate"], r["seed_low"], r["seed_high"]),
                    numeric=True),
            _column("difference", lambda r: _with_interval(r["difference"], r["difference_low"], r["difference_high"]),
                    numeric=True),
            _column("factor", lambda r: _with_interval(r["factor"], r["factor_low"], r["factor_high"]), numeric=True),
            _column("path to seed", lambda r: f"{number(r['start'])} → {number(r['end'])}", numeric=True),
            column("n", "n", number, numeric=True),
            column("censored", "censored", number, numeric=True),
        ),
        listed,
        prefer=lambda r: r["measure"] == PRIMARY_GAP,
        folded=True,
    )  # fmt: skip


def _log(value: float | None) -> float | None:
    return None if value is None or value <= 0 else math.log(value)


def _label(record: Record) -> str:
    said = SHORT[Prediction(record["predicted"])] if record["predicted"] else "no prediction"
    return f"{record['unlearning']} · {said}"


def _forest(material: Material, rates: list[Record]) -> Figure | None:
    """Return one panel per test set and kind of pair: gap after over gap before, methods as rows by their needs.

    The whole run and not its rate: one step of a task vector and thirty of ascent then share a scale.
    """
    drawn = [r for r in rates if r["measure"] == PRIMARY_GAP and r["factor"] is not None]
    weights = [r for r in rates if r["test_set"] == WEIGHTS and r["factor"] is not None]
    where = [s for s in in_test_set_order(drawn) if s in (FORGET, "held_out")]
    chosen = [(test_set(s), [r for r in drawn if r["test_set"] == s]) for s in where]
    chosen += [("all weights", weights)] if weights else []
    chosen = [(title, records) for title, records in chosen if records]
    if not chosen:
        return None
    keys = ("factor", "factor_low", "factor_high", "seed_factor", "seed_factor_low", "seed_factor_high")

    def domain(records: Iterable[Record]) -> tuple[float, float] | None:
        return common_domain([_log(r[k]) for r in records for k in keys] + [0.0])

    in_predictions = domain(r for title, records in chosen if title != "all weights" for r in records)
    panels: list[str] = []
    for kind, value in (("histories", "factor"), ("replicates", "seed_factor")):
        for title, records in chosen:
            rows = [
                {
                    "label": _label(r) if value == "factor" else r["unlearning"],
                    "estimate": _log(r[value]),
                    "low": _log(r[f"{value}_low"]),
                    "high": _log(r[f"{value}_high"]),
                    "verdict": "",
                }
                for r in records
                if r[value] is not None
            ]
            if not rows:
                continue
            words = "; ".join(f"{r['unlearning']} {number(_log(r[value]))}" for r in records if r[value] is not None)
            frame = pd.DataFrame(rows).astype({"estimate": float, "low": float, "high": float})
            own = domain(records) if title == "all weights" else in_predictions
            chart = forest_panel(frame, title=f"{kind}, {title}", x_title=FACTOR, domain=own, nothing=0.0)
            label = f"Log of the gap of {kind} after over before, on {title}: {words}"
            panels.append(to_svg(chart, name=f"gap-factors-{len(panels)}", label=label))
    shown = [r for _, records in chosen for r in records]
    return Figure(
        name="gap-factors",
        title="How far histories part, by method",
        panels=tuple(panels),
        legend=(
            Entry(label="estimate and 95 % interval", mark="point", colour=ESTIMATED.light, shape="triangle-up"),
            Entry(label="0: frozen", mark="rule", colour=ORACLE.light),
        ),
        caption=material.caption(
            "Gap after unlearning over gap before, natural log (0.69 is twice, -0.69 half), between histories of equal "
            "draws, beside replicates of one history: in log-probabilities of labels on a test set, or over all "
            "weights, which have a scale of their own; rows in the order of what the methods need, with theory's "
            "prediction for the forget items",
            [r["n"] for r in shown],
            f"{INTERVAL}; for replicates {JACKKNIFE}",
        ),
        table=Table.of(
            "Factors of the figure, not their logarithms",
            (
                column("method", "unlearning"),
                _column("on", _place),
                column("predicted", "predicted", lambda text: text or "no prediction"),
                _column("by its rate", lambda r: r["word"] or "no interval"),
                _column("factor", lambda r: _with_interval(r["factor"], r["factor_low"], r["factor_high"]),
                        numeric=True),
                _column("factor of replicates", lambda r: _with_interval(r["seed_factor"], r["seed_factor_low"],
                        r["seed_factor_high"]), numeric=True),
                column("n", "n", number, numeric=True),
            ),
            shown,
        ),
    )  # fmt: skip


def _aims(material: Material, records: list[Record], rates: list[Record]) -> Table:
    """Return which of three aims each method keeps: locality, retrain equivalence, path independence."""
    known = _by_name(material)
    names = list(dict.fromkeys(r["unlearning"] for r in records))
    words = {r["unlearning"]: r["word"] for r in rates if r["measure"] == PRIMARY_GAP and r["test_set"] == FORGET}

    def verdicts(contrast: str, name: str) -> list[Verdict]:
        return [
            f.verdict
            for f in material.findings
            if f.contrast == contrast
            and f.unlearning == name
            and f.test_set == FORGET
            and f.alignment == "at_end"
            and f.verdict is not None
        ]

    def is_local(name: str) -> str:
        needs = _needs(known[name])
        return OPEN if needs is None else YES if needs.is_local else NO

    def is_equivalent(name: str) -> str:
        return _all_of(verdicts("oracle_distance", name))

    def is_independent(name: str) -> str:
        gap, word = _all_of(verdicts("path_gap", name)), words.get(name, "")
        if gap == NO or (gap == OPEN and word == "expands"):
            return NO
        return YES if gap == YES and word != "expands" else OPEN

    return Table.of(
        "Three aims that do not go together: local (sees the forget rows and its own model alone), retrain equivalent "
        "(every history EQUIVALENT to its oracle on forget items), path independent (every path gap there EQUIVALENT, "
        f"and the gap does not expand). {YES} kept, {NO} not kept, {OPEN}: no verdict, or none was declared",
        (
            _column("method", str),
            _column("needs", lambda name: _needs_words(known[name])),
            _column("local", is_local),
            _column("retrain equivalent", is_equivalent),
            _column("path independent", is_independent),
            _column("the gap", lambda name: words.get(name, "") or "no rate"),
        ),
        names,
    )


def _all_of(found: list[Verdict]) -> str:
    if Verdict.DIFFERENT in found:
        return NO
    return YES if found and set(found) == {Verdict.EQUIVALENT} else OPEN
