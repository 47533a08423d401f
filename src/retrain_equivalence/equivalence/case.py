"""A study with its measurements: what every contrast is computed from."""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

from retrain_equivalence.equivalence.finding import ALPHA
from retrain_equivalence.equivalence.jackknife import Jackknifed, among_oracles
from retrain_equivalence.equivalence.looks import look_at
from retrain_equivalence.equivalence.measurements import Measurements, StateClass
from retrain_equivalence.records.columns import Columns

if TYPE_CHECKING:
    import pandas as pd

    from retrain_equivalence.equivalence.oracle_distance import OracleDistance
    from retrain_equivalence.equivalence.path_gap import PathGap
    from retrain_equivalence.histories.history import History
    from retrain_equivalence.histories.unlearning import Unlearning
    from retrain_equivalence.study.study import Study


class Case:
    """Study and table together, with what several contrasts need computed once.

    Args:
        rows: the table.
        study: the study it was made by.
    """

    def __init__(self, rows: pd.DataFrame | Columns, study: Study) -> None:
        columns = rows if isinstance(rows, Columns) else Columns.of_frame(rows)
        self.look = look_at(study, columns)
        """The declared look that the table is; null if the study declares none, or this is none of them."""
        self.study = study = study if self.look is None else self.look.of_study(study)
        self.gives_tests = self.look is None or self.look.is_last
        """Whether p-values are given: at interim looks none is, so that the one at the end needs no spending."""
        self.alpha = ALPHA if self.look is None else self.look.alpha
        """Error rate of each definite verdict at its margin."""
        self.table = Measurements(columns, replicates=study.replicates, oracle_replicates=study.oracle_replicates)
        self._within: dict[tuple[str, str, str, str], Jackknifed] = {}
        self._steps: dict[tuple[str, str | None, str], list[int]] = {}
        self.oracle_distances: dict[tuple[str, str, StateClass], OracleDistance] = {}
        """Distances to the own-order oracle, by probe, test set and state: several contrasts read them."""
        self.margin_nulls: dict[tuple[str, str], tuple[float | None, float | None]] = {}
        """What the margins of oracles give against oracles, by probe and oracle: the same for every unlearning."""
        self.gaps: dict[tuple[str, str, str, int], dict[tuple[str, str], PathGap]] = {}
        """Path gaps at equal steps, by probe, test set, unlearning and step, then by pair: tables read them again."""

    @cached_property
    def histories(self) -> tuple[History, ...]:
        """All histories in declared order, placebos included: what is trained."""
        return self.study.all_histories()

    @cached_property
    def unlearned(self) -> tuple[History, ...]:
        """The histories with a forget stage: a placebo has nothing to unlearn and is described as trained only."""
        return tuple(history for history in self.histories if history.position() is not None)

    def unlearnings_of(self, history: History) -> tuple[Unlearning, ...]:
        """The unlearnings that are applied to a history: all, or none for a placebo."""
        return () if history.position() is None else self.study.unlearnings

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Names of every two histories that are unlearned, in declared order."""
        return tuple((a.name, b.name) for a, b in combinations(self.unlearned, 2))

    @cached_property
    def oracle_of(self) -> dict[str, str]:
        """Name of the retrain oracle of each history."""
        return {history.name: history.oracle().name for history in self.histories}

    @cached_property
    def oracles(self) -> tuple[str, ...]:
        """Names of the distinct oracles."""
        return tuple(oracle.name for oracle in self.study.oracles())

    def is_own_oracle(self, history: str, unlearning: str, step: int) -> bool:
        """Whether a state is the history's own oracle, at equal seeds: a replay that reached the forget stage."""
        replay = next((u.replay for u in self.study.unlearnings if u.name == unlearning), None)
        if replay is None or step == 0:
            return False
        return replay.is_oracle(next(h for h in self.histories if h.name == history))

    def last(self, unlearning: Unlearning) -> int:
        """The last saved step of an unlearning."""
        return max(unlearning.steps)

    def steps(self, probe: str, test_set: str | None, unlearning: Unlearning) -> list[int]:
        """The saved steps > 0 at which any history has this probe."""
        place = (probe, test_set, unlearning.name)
        if place not in self._steps:
            saved = set(unlearning.steps)
            found = self.table.saved_steps(probe, test_set, unlearning.name, [h.name for h in self.unlearned])
            self._steps[place] = [step for step in found if step in saved]
        return self._steps[place]

    def band(self, probe: str, test_set: str, oracle: str, other: str | None = None) -> Jackknifed:
        """Return `D_oo`: the mean distance between oracles of different replicates, of one order or of two."""
        place = (probe, test_set, oracle, other or oracle)
        if place not in self._within:
            pairs = self.table.pairs(probe, test_set, StateClass(oracle, "", 0), StateClass(other or oracle, "", 0))
            self._within[place] = among_oracles(pairs.values_NN)
        return self._within[place]
