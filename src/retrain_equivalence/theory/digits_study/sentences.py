"""What `theory digits` says, computed from its cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from retrain_equivalence.theory.digits_study.cell import NEAR, DigitsCell, drift, monotone, times


def sentences(cells: Sequence[DigitsCell], stable: Mapping[str, float], settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the answer, then predictions, controls and limits.

    Args:
        cells: every chosen classifier under every method.
        stable: 2/L of each linear classifier, the smallest over seeds.
        settings: of the answer.
    """
    ascent = [c for c in cells if c.method.name == "ascent"]
    common = [c for c in cells if c.method.name == "to a common target"]
    n, steps = settings["seeds"], settings["steps"]
    yield _answer(ascent, common, settings)
    until = _list(f"{c.model.name} {c.holds_until('parameters', 'linear')[0].median:.0f}" for c in ascent)
    kinds = _list(f"{c.model.name} {c.growing('parameters', 'histories').kind}" for c in ascent)
    yield (
        f"Under ascent the linear world with the start's curvature predicts {_grown(ascent, 'linear', 2)}; it stays "
        f"within a factor {NEAR:g} of the measured growth up to step {until} (median seed). By the rates of the first "
        f"and the last quarter the growth is: {kinds} (margin {settings['margin']:g} nats per step)."
    )
    yield _twins(cells, n, steps)
    linear = [c for c in cells if c.model.is_linear]
    if linear:
        yield _convex(linear, stable, settings)
        yield _own(linear)
    for cell in (c for c in common if not c.model.is_linear):
        yield (
            f"The {cell.model.name} need not obey: under the common target the gap of the orders on the forget logits "
            f"goes to {times(cell.factor('forget logits', 'histories'))} and on test logits to "
            f"{times(cell.factor('test logits', 'histories'))} times its start, but in parameters to "
            f"{times(cell.factor('parameters', 'histories'))}, and for the twin to "
            f"{times(cell.factor('parameters', 'twin'))}."
        )
    yield _seeds(ascent)
    yield _collapse(ascent, common)


def _answer(ascent: Sequence[DigitsCell], common: Sequence[DigitsCell], settings: Mapping[str, Any]) -> str:
    grows = all(c.growing("parameters", "histories").early[1] > 0 for c in ascent)
    shrinks = all(c.growing("parameters", "histories").early[2] < 0 for c in common)
    lasts = all(c.holds_until("parameters", "linear")[0].median == settings["steps"] for c in ascent)
    head = "At first" if grows and shrinks else "Not shown for every classifier at first"
    tail = ", and to the end" if lasts else ", but not to the end"
    return (
        f"{head}{tail}: after {settings['steps']} plain steps at η = {settings['learning_rate']:g} the parameter gap "
        f"of the two orders is, times its start, under ascent {_grown(ascent, 'histories')}, and under descent to a "
        f"common target {_grown(common, 'histories')} (geometric mean and 95 % t interval over "
        f"{settings['seeds']} seeds)."
    )


def _twins(cells: Sequence[DigitsCell], n: int, steps: int) -> str:
    twins = [(c, *c.holds_until("parameters", "twin predicted")) for c in cells]
    cell, until, _ = min(twins, key=lambda t: t[1].median)
    return (
        f"The exact first variation along the path stays within a factor {NEAR:g} of the twin at 1/16 of the gap "
        f"through all {steps} steps in {sum(t[2] for t in twins)} of {n * len(twins)} runs ({len(twins)} pairs of "
        f"classifier and method, {n} seeds each; shortest: {cell.model.name}, {cell.method.name}, median step "
        f"{until.median:.0f}); the whole gap of the orders is not small, and the table shows how far it follows."
    )


def _convex(linear: Sequence[DigitsCell], stable: Mapping[str, float], settings: Mapping[str, Any]) -> str:
    n = settings["seeds"]

    def held(method: str, *, grows: bool) -> str:
        return _list(
            f"{monotone(c.gaps, grows=grows)} of {n} ({c.model.name})" for c in linear if c.method.name == method
        )

    off = max(drift(c.gaps, "off the span") for c in linear)
    bound = _list(f"{name} {value:.2g}" for name, value in stable.items())
    return (
        f"For the classifiers that are linear in their parameters convexity proves two things: ascent never shrinks a "
        f"parameter gap, seen in {held('ascent', grows=True)} worlds, and descent to a common target never expands one "
        f"for η ≤ 2/L ({bound}), seen in {held('to a common target', grows=False)}; off the span of the forget rows "
        f"the gap moves by at most {off:.1e} of itself under every method."
    )


def _own(linear: Sequence[DigitsCell]) -> str:
    frozen = max(drift(c.gaps, "parameters") for c in linear if c.method.name == "to own logits")
    return (
        f"Descent to the history's own logits freezes the whole gap when the loss is squared (largest relative change "
        f"{frozen:.1e}) but not when it is cross-entropy: "
        f"{_grown([c for c in linear if c.method.name == 'to own outputs'], 'histories')} times its start."
    )


def _seeds(ascent: Sequence[DigitsCell]) -> str:
    ratios = _list(
        f"{c.model.name} {times(c.ratio_to_seeds('parameters', 0))} and {times(c.ratio_to_seeds('parameters', -1))}"
        for c in ascent
    )
    seeds = [c.factor("parameters", "seeds") for c in ascent]
    lead = [c.lead_of_seeds("parameters") for c in ascent]
    rest = "; ascent expands the gap of two sample orders too" if all(s.mean > s.half_width for s in seeds) else ""
    more = ", and by a larger factor" if rest and all(s.mean > s.half_width for s in lead) else ""
    return (
        f"The parameter gap of the orders, in units of the gap of two sample orders, is before and after ascent "
        f"{ratios}{rest}{more}."
    )


def _collapse(ascent: Sequence[DigitsCell], common: Sequence[DigitsCell]) -> str:
    kept = [(c, c.accuracy("test", 0, 0).mean, c.accuracy("test", -1, 0).mean) for c in ascent]
    moved = _list(f"{c.model.name} {before:.2f} to {after:.2f}" for c, before, after in kept)
    rest = " at the end these models are of no use, and neither is the gap between them as a measure of unlearning"
    is_lost = all(after < 0.7 * before for _, before, after in kept)
    return (
        f"Mean test accuracy of the history with the forget stage last moves under ascent from {moved}"
        f"{':' + rest if is_lost else ''}. {_forgetting(common)}"
    )


def _forgetting(common: Sequence[DigitsCell]) -> str:
    moved = _list(
        f"{c.model.name} {c.accuracy('forget', 0, 0).mean:.2f} to {c.accuracy('forget', -1, 0).mean:.2f}"
        for c in common
    )
    kept = all(c.accuracy("forget", -1, 0).mean > 0.5 for c in common)
    head = (
        "The common target closes the gap in predictions, yet most forget rows keep their label"
        if kept
        else "The common target takes the label from many of the forget rows"
    )
    return f"{head} (accuracy on them {moved})."


def _grown(cells: Iterable[DigitsCell], of: str, digits: int = 3) -> str:
    return _list(f"{c.model.name} {times(c.factor('parameters', of), digits)}" for c in cells)


def _list(parts: Iterable[str]) -> str:
    return "; ".join(parts)
