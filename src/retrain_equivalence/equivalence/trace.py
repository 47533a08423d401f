"""From a number back to its rows: which rows of the table a finding was computed from.

Design. Every contrast reads scalars of some states, or distances between two kinds of states at different replicates;
which ones, follows from the finding's coordinates and the study alone. So nothing has to be recorded while numbers are
made, and a finding of any table can be traced. Where runs stand at steps of their own (equal forgetting, best steps),
the rows of all saved steps are named, with the losses that chose among them: any of them could have moved the number.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.equivalence import distribution, natural_forgetting
from retrain_equivalence.equivalence.finding import Finding
from retrain_equivalence.equivalence.measurements import FORGET_LOSS
from retrain_equivalence.histories.history import BASE, History
from retrain_equivalence.records.state_name import StateName

if TYPE_CHECKING:
    import pandas as pd

    from retrain_equivalence.study.study import Study

T = TypeVar("T", bound=Hashable)

OWN_STEPS = ("at_forget_level", "at_best_step", "at_common_step", "window")
"""Alignments at which a run may stand at any saved step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """Runs of some histories at one place, or anywhere along one unlearning."""

    histories: frozenset[str]
    unlearning: str = ""
    steps: frozenset[int] | None = frozenset({0})
    """Unlearning steps; null is any step of the unlearning, the trained state included."""
    replicates: range | None = None
    """Which runs; null is all of them."""

    def hold(self, state: StateName) -> bool:
        """Whether a state is one of them."""
        if state.history not in self.histories:
            return False
        if self.replicates is not None and state.replicate not in self.replicates:
            return False
        if state.step == 0:
            return self.steps is None or 0 in self.steps
        return state.unlearning == self.unlearning and (self.steps is None or state.step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Rows that an estimate reads: scalars of some states, or distances from some states to others."""

    probe: str
    item: str = ""
    """The test set of a distance; empty for scalars, of which every item is read."""
    of: States
    to: States | None = None
    """The other end of a distance; null for scalars."""
    replicates: str = "different"
    """Which ends a distance pairs: of `different` replicates, or of the `same` one (coupled gaps of two histories)."""
    apart: bool = False
    """Whether the ends must be of different histories."""


def probes_behind(finding: Finding) -> tuple[str, ...]:
    """Return the probes of the rows behind a finding: all that must be read of a long table."""
    own_steps = finding.alignment in OWN_STEPS and finding.probe != FORGET_LOSS
    return (finding.probe, FORGET_LOSS) if own_steps else (finding.probe,)


def rows_behind(finding: Finding, frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the rows of the table that a finding was computed from, in the table's order.

    Args:
        finding: of this study.
        frame: rows with the columns of `Row`; rows of other probes than `probes_behind` may be left out.
        study: the study that made both.

    Returns:
        The rows, whatever their status: a censored row says why a run is missing in the number.
    """
    reads = list(RULES[finding.contrast](finding, _Names(study)))
    rows = frame.loc[frame["probe"].astype(str).isin({read.probe for read in reads})]
    states = ["history", "replicate", "unlearning", "step"]
    own, owns = _coded(
        StateName(history=str(h), replicate=int(r), unlearning=str(u), step=int(t))
        for h, r, u, t in zip(*(rows[name] for name in states), strict=True)
    )
    to, tos = _coded(rows["against"].astype(str))
    others = [StateName.parse(text) if text else None for text in tos]
    probes, items = rows["probe"].astype(str).to_numpy(), rows["item"].astype(str).to_numpy()
    is_distance = np.array([other is not None for other in others], dtype=bool)[to]
    own_names, other_names = _codes_of(owns, others, "history")
    own_runs, other_runs = _codes_of(owns, others, "replicate")
    same_history, same_run = own_names[own] == other_names[to], own_runs[own] == other_runs[to]
    chosen = np.zeros(len(rows), dtype=bool)
    for read in reads:
        of_own = np.array([read.of.hold(state) for state in owns], dtype=bool)[own]
        here = probes == read.probe
        if read.to is None:
            chosen |= here & of_own & ~is_distance
            continue
        ends = read.to
        to_own = np.array([ends.hold(state) for state in owns], dtype=bool)[own]
        of_other, to_other = (
            np.array([other is not None and end.hold(other) for other in others], dtype=bool)[to]
            for end in (read.of, ends)
        )
        pairs = (of_own & to_other) | (to_own & of_other)
        wanted = same_run if read.replicates == "same" else ~same_run
        chosen |= here & is_distance & (items == read.item) & pairs & wanted & ~(same_history & read.apart)
    return rows.loc[chosen]


def _coded(values: Iterable[T]) -> tuple[NDArray[np.int64], list[T]]:
    """Return for each value its place among the distinct ones, and these: a long table has few states."""
    known: dict[T, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64), list(known)


def _codes_of(
    owns: list[StateName], others: list[StateName | None], field: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a field of the states of rows, and of those that they name, as comparable numbers; -1 for none."""
    known: dict[object, int] = {}
    one = [known.setdefault(getattr(state, field), len(known)) for state in owns]
    two = [-1 if state is None else known.setdefault(getattr(state, field), len(known)) for state in others]
    return np.array(one, dtype=np.int64), np.array(two, dtype=np.int64)


class _Names:
    """The study's histories and oracles by name."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.histories: Mapping[str, History] = {history.name: history for history in study.all_histories()}
        self.unlearned = frozenset(name for name, h in self.histories.items() if h.position() is not None)
        self.oracles = frozenset(oracle.name for oracle in study.oracles())
        self.orders = frozenset(name for name in self.unlearned if not self.histories[name].shuffle)
        self.R = study.replicates

    def oracle_of(self, history: str) -> frozenset[str]:
        """The own-order oracle of a history, of every history where none is named."""
        return frozenset({self.histories[history].oracle().name}) if history in self.histories else self.oracles

    def named(self, *names: str) -> frozenset[str]:
        """Those of the names that are histories; all that are unlearned where none is."""
        return frozenset(name for name in names if name in self.histories) or self.unlearned

    def here(self, finding: Finding, histories: frozenset[str]) -> States:
        """Histories where the finding's runs stand."""
        any_step = finding.alignment in OWN_STEPS or finding.step is None
        steps = None if any_step else frozenset({finding.step or 0})
        return States(histories=histories, unlearning=finding.unlearning, steps=steps)

    def registered(self, states: States) -> States:
        """The same states of the replicates that scalars are paired by."""
        return replace(states, replicates=range(self.R))


def _between(finding: Finding, *pairs: tuple[States, States]) -> Iterator[Read]:
    for of, to in pairs:
        yield Read(probe=finding.probe, item=finding.test_set, of=of, to=to)


def _scalars(finding: Finding, *states: States) -> Iterator[Read]:
    for one in states:
        yield Read(probe=finding.probe, of=one)


def _levels(finding: Finding, names: _Names, histories: frozenset[str]) -> Iterator[Read]:
    """The losses that say at which step a run has forgotten as much as its oracle."""
    if finding.alignment == "at_forget_level":
        oracles = frozenset(name for history in histories for name in names.oracle_of(history))
        yield Read(probe=FORGET_LOSS, of=names.here(finding, histories))
        yield Read(probe=FORGET_LOSS, of=States(histories=oracles))


def _band(finding: Finding, names: _Names) -> Iterator[Read]:
    one, two = frozenset({finding.history}), frozenset({finding.other or finding.history})
    yield from _between(finding, (States(histories=one), States(histories=two)))


def _to_oracle(finding: Finding, names: _Names) -> Iterator[Read]:
    own = frozenset({finding.history})
    here, oracle = names.here(finding, own), States(histories=names.oracle_of(finding.history))
    if finding.quantity != "D_hh/D_oo":
        yield from _between(finding, (here, oracle))
    if finding.quantity in ("B_h", "D_hh/D_oo"):
        yield from _between(finding, (here, here))
    if finding.quantity in ("B_h", "D_hh/D_oo", "D_ho/D_oo"):
        yield from _between(finding, (oracle, oracle))
    yield from _levels(finding, names, own)


def _improvement(finding: Finding, names: _Names) -> Iterator[Read]:
    own = frozenset({finding.history})
    oracle = States(histories=names.oracle_of(finding.history))
    yield from _between(finding, (names.here(finding, own), oracle), (States(histories=own), oracle))


def _path_gap(finding: Finding, names: _Names) -> Iterator[Read]:
    one, two = (names.here(finding, frozenset({name})) for name in (finding.history, finding.other))
    if finding.test_set:
        yield from _between(finding, (one, two), (one, one), (two, two))
    else:
        yield from _scalars(finding, names.registered(one), names.registered(two))
    yield from _levels(finding, names, frozenset({finding.history, finding.other}))


def _excess(finding: Finding, names: _Names) -> Iterator[Read]:
    ends = [names.here(finding, frozenset({name})) for name in (finding.history, finding.other)]
    ends += [States(histories=names.oracle_of(name)) for name in (finding.history, finding.other)]
    runs = [names.registered(end) for end in ends]
    yield from _between(finding, *((of, to) for index, of in enumerate(runs) for to in runs[index:]))


def _spread(finding: Finding, names: _Names) -> Iterator[Read]:
    here = names.registered(names.here(finding, names.orders))
    if finding.test_set:
        yield from _between(finding, (here, here))
    else:
        yield from _scalars(finding, here)


def _stopping(finding: Finding, names: _Names) -> Iterator[Read]:
    histories = frozenset({finding.history}) if "own" in finding.quantity else names.orders
    for history in sorted(histories):
        along = States(histories=frozenset({history}), unlearning=finding.unlearning, steps=None)
        yield from _between(finding, (along, States(histories=names.oracle_of(history))))


def _growth(finding: Finding, names: _Names) -> Iterator[Read]:
    """Coupled gaps: of two histories at one replicate, and of two replicates of one history."""
    steps = frozenset({0}) if finding.quantity.endswith("at start") else None
    along = States(histories=names.named(finding.history, finding.other), unlearning=finding.unlearning, steps=steps)
    if "path" in finding.quantity:
        yield Read(probe=finding.probe, item=finding.test_set, of=along, to=along, replicates="same", apart=True)
    if "seed" in finding.quantity:
        for name in sorted(along.histories):
            own = States(histories=frozenset({name}), unlearning=finding.unlearning, steps=along.steps)
            yield Read(probe=finding.probe, item=finding.test_set, of=own, to=own)


def _recency(finding: Finding, names: _Names) -> Iterator[Read]:
    own = frozenset({finding.history})
    histories = own if finding.history in names.histories else names.orders
    along = States(histories=histories, unlearning=finding.unlearning, steps=None, replicates=range(names.R))
    oracles = frozenset(name for history in histories for name in names.oracle_of(history))
    yield from _scalars(finding, along, States(histories=oracles))
    if "halfway" in finding.quantity:
        # The halfway level lies between the oracle's and the highest start of any history.
        yield from _scalars(finding, States(histories=names.unlearned, replicates=range(names.R)))


def _difference(finding: Finding, names: _Names) -> Iterator[Read]:
    here = names.here(finding, frozenset({finding.history}))
    oracle = States(histories=names.oracle_of(finding.history))
    yield from _scalars(finding, names.registered(here), names.registered(oracle))


def _stage_loss(finding: Finding, names: _Names) -> Iterator[Read]:
    history = names.histories[finding.history]
    stages = [stage.name for stage in history.stages]
    at = stages.index(finding.probe.partition(":")[2])
    node = natural_forgetting.node(history, at, finding.quantity)
    nodes = {node.name} if node.stages else {node.name, BASE}
    yield from _scalars(finding, States(histories=frozenset(nodes), replicates=range(names.R)))


def _distribution(finding: Finding, names: _Names) -> Iterator[Read]:
    two = distribution.sets(names.R, names.study.oracle_replicates)
    here = replace(names.here(finding, frozenset({finding.history})), replicates=two.unlearned)
    oracle = States(histories=names.oracle_of(finding.history), replicates=two.oracles)
    if finding.test_set:
        yield from _between(finding, (here, oracle), (here, here), (oracle, oracle))
    else:
        yield from _scalars(finding, here, oracle)


def _overshoot(finding: Finding, names: _Names) -> Iterator[Read]:
    yield from _levels(finding, names, frozenset({finding.history}))


RULES: Mapping[str, Callable[[Finding, _Names], Iterable[Read]]] = {
    "band": _band,
    "oracle_distance": _to_oracle,
    "oracle_bias": _to_oracle,
    "improvement": _improvement,
    "path_gap": _path_gap,
    "excess_path_gap": _excess,
    "path_spread": _spread,
    "stopping_price": _stopping,
    "growth": _growth,
    "recency": _recency,
    "difference": _difference,
    "distribution": _distribution,
    "forget_level": _overshoot,
    "natural_forgetting": _stage_loss,
}
"""Contrast -> the rows that its numbers read."""
