"""A judgement in sentences and tables, for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Iterable

from retrain_equivalence.figures.elements import Column, Table
from retrain_equivalence.judging.forget_quality import Quality
from retrain_equivalence.judging.judgement import Judgement, Number, Spread


def shown(value: float | None) -> str:
    """Return a number with four digits; `undefined` without one."""
    return "undefined" if value is None else f"{value:.4g}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval; `undefined` without both ends."""
    return "undefined" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def sentences(said: Judgement) -> tuple[str, ...]:
    """Return what stands under the verdict: the number, the margin, and what must be known to use them."""
    n = said.judged.n
    needed = () if said.n_needed is None else (f"Runs of each group that would do: {said.n_needed}.",)
    return (
        f"Judged: {said.judged.quantity}, {shown(said.judged.estimate)}, 95 % interval "
        f"{interval(said.judged.low, said.judged.high)}, from {n.unlearned} unlearned and {n.retrained} retrained "
        "runs.",
        f"Margin: {said.margin:g}. Reason given for it: {said.rationale}",
        *needed,
        *said.remarks,
    )


def tables(said: Judgement) -> tuple[Table, ...]:
    """Return what was measured: the groups, the numbers, the laws and, where there are truth ratios, forget quality."""
    found = [_groups(said.groups, said.metric), _numbers(said), _laws(said)]
    if said.forget_quality is not None:
        own = said.forget_quality
        caption = f"KS test of truth ratios against retrained models, at least {own.n_items} items. {own.sentence}"
        if own.own_pairs:
            caption += f" {own.own_below} of {own.own_pairs} pairs of retrained models have p below 5 %."
        found.append(_quality(own.runs, caption))
    return tuple(found)


def _groups(groups: Iterable[Spread], metric: str) -> Table:
    columns = (
        Column(head="group", text=lambda one: str(one.group)),
        Column(head="runs", text=lambda one: str(one.n), numeric=True),
        Column(head="without a value", text=lambda one: str(one.undefined), numeric=True),
        Column(head="mean", text=lambda one: shown(one.mean), numeric=True),
        Column(head="sd between runs", text=lambda one: shown(one.sd), numeric=True),
    )
    return Table.of(f"Runs: {metric}", columns, groups)


def _numbers(said: Judgement) -> Table:
    numbers: list[Number] = [said.judged, said.band]
    if said.improvement is not None:
        numbers.append(said.improvement)
    columns = (
        Column(head="number", text=lambda one: str(one.quantity)),
        Column(head="estimate", text=lambda one: shown(one.estimate), numeric=True),
        Column(head="95 % interval", text=lambda one: interval(one.low, one.high), numeric=True),
        Column(
            head="n",
            text=lambda one: " + ".join(str(n) for n in (one.n.unlearned, one.n.retrained, one.n.before) if n) or "0",
            numeric=True,
        ),
        Column(head="method", text=lambda one: str(one.method)),
        Column(head="says", text=lambda one: str(one.reason)),
    )
    return Table.of("Numbers over runs; n counts unlearned + retrained (+ before)", columns, numbers)


def _laws(said: Judgement) -> Table:
    laws = said.laws
    items = f"{laws.n_items} items" if laws.n_items else "no items, the runs' own numbers"
    if laws.left_out:
        items += f", {laws.left_out} left out as undefined in some run"
    columns = (
        Column(head="energy distance", text=lambda one: shown(one.statistic), numeric=True),
        Column(head="p", text=lambda one: "none" if one.p_value is None else f"{one.p_value:.3g}", numeric=True),
        Column(
            head="smallest p there is",
            text=lambda one: "none" if one.smallest_p is None else f"{one.smallest_p:.3g}",
            numeric=True,
        ),
        Column(
            head="runs of each needed",
            text=lambda one: "enough" if one.n_needed is None else str(one.n_needed),
            numeric=True,
        ),
        Column(head="says", text=lambda one: str(one.reason)),
    )
    return Table.of(f"Laws of whole runs: permutation of run labels ({items})", columns, [laws])


def _quality(runs: Iterable[Quality], caption: str) -> Table:
    columns = (
        Column(head="run", text=lambda one: str(one.run)),
        Column(head="group", text=lambda one: str(one.group)),
        Column(head="mean KS distance", text=lambda one: f"{one.distance:.3f}", numeric=True),
        Column(
            head="KS p: least, median, most",
            text=lambda one: f"{one.smallest_p:.2g}, {one.median_p:.2g}, {one.largest_p:.2g}",
            numeric=True,
        ),
        Column(head="against", text=lambda one: str(one.n_against), numeric=True),
        Column(
            head="p in its log",
            text=lambda one: "none" if one.logged_p is None else f"{one.logged_p:.2g}",
            numeric=True,
        ),
    )
    return Table.of(caption, columns, runs)
