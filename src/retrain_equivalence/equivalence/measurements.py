"""The results table, read once into arrays: scalars by state, distances by pair of states, statuses by run.

Legend: R replicates of the study, N = R + oracle-only replicates, I items.

Design. Rows are put into the one canonical order first, so that every floating-point sum is independent of the order in
which the rows arrived. Distances between states of *equal replicate* are dropped at the door: they are coupled by their
seeds and shared prefix (science of this package: they describe, they never judge), so nothing behind this module can
use one by accident. The rows `gap/...` are coupled on purpose and go into `coupled`, which `growth` alone reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.equivalence.coupled_gaps import PREFIX, CoupledGaps, GapRow
from retrain_equivalence.records.columns import Codes, Columns
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.records.table import IDENTIFYING

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

MISSING, OK, UNSCORED, FAILED, CENSORED = 0, 1, 2, 3, 4
"""What is known of a measurement; the larger code wins where items disagree."""
_STATUS_CODES = {"ok": OK, "unscored": UNSCORED, "failed": FAILED, "censored": CENSORED}

FORGET_LOSS, LABEL_MARGIN = "forget_loss", "label_margin"
_KEPT_BY_ITEM = (FORGET_LOSS, LABEL_MARGIN)
"""Kinds of probe of which contrasts read the items; of the others, means over items are kept."""
_KEY_LIMIT = 2**62


class StateClass(NamedTuple):
    """A state without its replicate."""

    history: str
    unlearning: str
    step: int


def state_class(history: str, unlearning: str, step: int) -> StateClass:
    """Return the class of a state; step 0 of an unlearning *is* the trained end state and is stored under that name."""
    return StateClass(history, unlearning if step else "", step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalars:
    """A scalar probe at one state class: mean over items within each run."""

    values_N: Floats
    """Nan where the run is not OK."""
    states_N: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Distances between two state classes, rows the first's replicates, columns the second's; the diagonal is nan."""

    values_NN: Floats
    states_NN: NDArray[np.uint8]


def _keys(columns: Sequence[tuple[Codes | Ints, int]]) -> Ints:
    """Return one integer a row that sorts like the tuple of its columns."""
    key: Ints = np.zeros(len(columns[0][0]), dtype=np.int64)
    span = 1
    for codes, size in columns:
        size = max(size, 1)
        if span * size > _KEY_LIMIT:
            distinct, inverse = np.unique(key, return_inverse=True)
            key, span = inverse.astype(np.int64), max(len(distinct), 1)
        key = key * size + codes
        span *= size
    return key


class Measurements:
    """Everything that estimators read.

    Args:
        rows: the table, in any order.
        replicates: R, of the study.
        oracle_replicates: oracle-only replicates of the study.

    Raises:
        InputError: E-DATA-51 rows twice; E-DATA-53 a replicate outside the study's; E-DATA-55 an 'ok' row
            without a finite value; E-DATA-56 a status that is none; E-DATA-57 `against` is not the name of a state.
    """

    def __init__(self, rows: Columns, *, replicates: int, oracle_replicates: int) -> None:
        self.R = replicates
        self.N = replicates + oracle_replicates
        self.units: dict[str, str] = {}
        self._scalars: dict[tuple[str, StateClass], Scalars] = {}
        self._items: dict[tuple[str, StateClass], Floats] = {}
        self._item_names: dict[str, list[str]] = {}
        self._group_of: dict[tuple[str, str, StateClass, StateClass], int] = {}
        self._cube = np.empty((0, self.N, self.N))
        self._states = np.empty((0, self.N, self.N), dtype=np.uint8)
        self.first_censored: dict[tuple[str, str, int], int] = {}
        self.coupled = CoupledGaps([], self.R, self.N)
        self._read(rows)
        self._steps: dict[tuple[str, str | None, str, str], set[int]] = {}
        scalar_places = ((probe, None, at) for probe, at in self._scalars)
        for probe, test_set, at in (*scalar_places, *((name, item, one) for name, item, one, _ in self._group_of)):
            if at.step:
                self._steps.setdefault((probe, test_set, at.unlearning, at.history), set()).add(at.step)
        self.scalar_probes = sorted({probe for probe, _ in self._scalars})
        self.distance_probes = sorted({(probe, test_set) for probe, test_set, _, _ in self._group_of})

    def _read(self, rows: Columns) -> None:
        if not len(rows):
            return
        codes, names, values = dict(rows.codes), dict(rows.names), rows.values
        if codes["replicate"].min() < 0 or codes["replicate"].max() >= self.N or codes["step"].min() < 0:
            raise InputError.of(
                "E-DATA-53",
                "rows.parquet",
                f"replicates {codes['replicate'].min()} to {codes['replicate'].max()}, the study has 0..{self.N - 1}",
                "compare the table with the study that made it (study.lock.yaml beside it)",
            )
        sizes = {name: len(texts) for name, texts in names.items()} | {
            "replicate": self.N,
            "step": int(codes["step"].max()) + 1,
        }
        key = _keys([(codes[name], sizes[name]) for name in IDENTIFYING])
        if not bool((key[1:] > key[:-1]).all()):
            order = np.argsort(key, kind="stable")
            key, values = key[order], values[order]
            for name in codes:
                codes[name] = codes[name][order]
            del order
        if (twice := int((key[1:] == key[:-1]).sum())) > 0:
            raise InputError.of(
                "E-DATA-51", "rows.parquet", f"{twice} rows appear twice", "remove them: never average retries"
            )
        del key
        states = self._states_of(codes.pop("status"), names["status"], values)
        self._note_units(codes, names)
        del codes["unit"]
        coupled = np.array([name.startswith(PREFIX) for name in names["probe"]])[codes["probe"]]
        gaps = self._gap_rows(codes, names, values, states, np.flatnonzero(coupled))
        self.coupled = CoupledGaps(gaps, self.R, self.N)
        unpaired = np.array([name == "" for name in names["against"]])[codes["against"]]
        # A distance is censored if either side is; against a trained state, which is always there, it is the run's own.
        own = np.array(["@" not in name for name in names["against"]])[codes["against"]] & ~coupled
        self._note_censored(codes, names, np.flatnonzero(own & (states == CENSORED)))
        del own
        chosen = np.flatnonzero(unpaired & ~coupled)
        scalars = {name: column[chosen] for name, column in codes.items() if name != "against"}
        self._read_scalars(scalars, names, sizes, values[chosen], states[chosen])
        del scalars
        chosen = np.flatnonzero(~unpaired & ~coupled)
        distances = {name: column[chosen] for name, column in codes.items()}
        values, states = values[chosen], states[chosen]
        del codes, chosen, unpaired, coupled
        self._read_distances(distances, names, values, states)

    @staticmethod
    def _gap_rows(
        codes: dict[str, Codes], names: dict[str, list[str]], values: Floats, states: NDArray[np.uint8], chosen: Ints
    ) -> Iterator[GapRow]:
        for row in chosen.tolist():
            status = int(states[row])
            yield GapRow(
                probe=names["probe"][codes["probe"][row]],
                test_set=names["item"][codes["item"][row]],
                one=StateName(
                    history=names["history"][codes["history"][row]],
                    replicate=int(codes["replicate"][row]),
                    unlearning=names["unlearning"][codes["unlearning"][row]],
                    step=int(codes["step"][row]),
                ),
                against=names["against"][codes["against"][row]],
                value=float(values[row]) if status == OK else float("nan"),
                status=status,
            )

    @staticmethod
    def _states_of(status: Codes, status_names: list[str], values: Floats) -> NDArray[np.uint8]:
        used = np.unique(status)
        if unknown := [status_names[index] for index in used if status_names[index] not in _STATUS_CODES]:
            raise InputError.of(
                "E-DATA-56", "rows.parquet", f"status {unknown[0]!r} is none", f"use one of {', '.join(_STATUS_CODES)}"
            )
        table = np.array([_STATUS_CODES.get(name, MISSING) for name in status_names], dtype=np.uint8)
        states: NDArray[np.uint8] = table[status]
        if (bad := int(((states == OK) & ~np.isfinite(values)).sum())) > 0:
            raise InputError.of(
                "E-DATA-55",
                "rows.parquet",
                f"{bad} rows say 'ok' and have no finite value",
                "give the reason in 'status': censored, unscored or failed",
            )
        return states

    def _note_units(self, codes: dict[str, Codes], names: dict[str, list[str]]) -> None:
        both = np.unique(codes["probe"] * len(names["unit"]) + codes["unit"])
        for value in both:
            probe, unit = names["probe"][value // len(names["unit"])], names["unit"][value % len(names["unit"])]
            if self.units.setdefault(probe, unit) != unit:
                raise InputError.of(
                    "E-DATA-58",
                    "rows.parquet",
                    f"probe '{probe}' has units '{self.units[probe]}' and '{unit}'",
                    "one probe has one unit",
                )

    def _note_censored(self, codes: dict[str, Codes], names: dict[str, list[str]], rows: Ints) -> None:
        # Rows are sorted by step within a run and unlearning, so the first one met is the earliest.
        for index in rows.tolist():
            run = (
                names["history"][codes["history"][index]],
                names["unlearning"][codes["unlearning"][index]],
                int(codes["replicate"][index]),
            )
            self.first_censored.setdefault(run, int(codes["step"][index]))

    def _read_scalars(
        self,
        codes: dict[str, Codes],
        names: dict[str, list[str]],
        sizes: dict[str, int],
        values: Floats,
        states: NDArray[np.uint8],
    ) -> None:
        if not len(values):
            return
        run = _keys([(codes[name], sizes[name]) for name in ("history", "replicate", "unlearning", "step", "probe")])
        starts = np.flatnonzero(np.r_[True, run[1:] != run[:-1]])
        counts = np.diff(np.r_[starts, len(run)])
        worst = np.maximum.reduceat(states, starts)
        means = np.add.reduceat(np.where(states == OK, values, 0.0), starts) / counts
        for start, mean, state in zip(starts.tolist(), means.tolist(), worst.tolist(), strict=True):
            cls = StateClass(
                names["history"][codes["history"][start]],
                names["unlearning"][codes["unlearning"][start]],
                int(codes["step"][start]),
            )
            place = (names["probe"][codes["probe"][start]], cls)
            found = self._scalars.get(place)
            if found is None:
                found = Scalars(values_N=np.full(self.N, np.nan), states_N=np.zeros(self.N, dtype=np.uint8))
                self._scalars[place] = found
            replicate = codes["replicate"][start]
            found.states_N[replicate] = state
            if state == OK:
                found.values_N[replicate] = mean
        self._read_items(codes, names, values, states)

    def _read_items(
        self, codes: dict[str, Codes], names: dict[str, list[str]], values: Floats, states: NDArray[np.uint8]
    ) -> None:
        for number, probe in enumerate(names["probe"]):
            if probe.partition(":")[0] not in _KEPT_BY_ITEM:
                continue
            chosen = np.flatnonzero(codes["probe"] == number)
            if not len(chosen):
                continue
            items, column = np.unique(codes["item"][chosen], return_inverse=True)
            self._item_names[probe] = [names["item"][index] for index in items]
            classes, of_class = self._classes(codes, names, chosen)
            found_CNI = np.full((len(classes), self.N, len(items)), np.nan)
            ok_values = np.where(states[chosen] == OK, values[chosen], np.nan)
            found_CNI[of_class, codes["replicate"][chosen], column] = ok_values
            self._items |= {(probe, at): found for at, found in zip(classes, found_CNI, strict=True)}

    @staticmethod
    def _classes(
        codes: dict[str, Codes], names: dict[str, list[str]], chosen: Ints | slice
    ) -> tuple[list[StateClass], Ints]:
        """Return the distinct state classes of some rows, and which of them each row has."""
        width = int(codes["step"].max()) + 1
        local = codes["history"][chosen].astype(np.int64) * len(names["unlearning"]) + codes["unlearning"][chosen]
        distinct, of_class = np.unique(local * width + codes["step"][chosen], return_inverse=True)
        classes = []
        for code in distinct.tolist():
            rest, step = divmod(code, width)
            history, unlearning = divmod(rest, len(names["unlearning"]))
            classes.append(StateClass(names["history"][history], names["unlearning"][unlearning], step))
        return classes, of_class

    def _read_distances(
        self, codes: dict[str, Codes], names: dict[str, list[str]], values: Floats, states: NDArray[np.uint8]
    ) -> None:
        if not len(values):
            return
        classes: dict[StateClass, int] = {}
        others = np.zeros((len(names["against"]), 2), dtype=np.int64)
        for index in np.unique(codes["against"]):
            try:
                other = StateName.parse(names["against"][index])
            except ValueError as found:
                raise InputError.of(
                    "E-DATA-57", "rows.parquet", f"'against': {found}", "write history#replicate@unlearning:step"
                ) from None
            if not 0 <= other.replicate < self.N:
                raise InputError.of(
                    "E-DATA-53",
                    "rows.parquet",
                    f"'against' names replicate {other.replicate}, the study has 0..{self.N - 1}",
                    "compare the table with the study that made it (study.lock.yaml beside it)",
                )
            cls = StateClass(other.history, other.unlearning, other.step)
            others[index] = classes.setdefault(cls, len(classes)), other.replicate
        own_classes, inverse = self._classes(codes, names, slice(None))
        own = np.array([classes.setdefault(cls, len(classes)) for cls in own_classes], dtype=np.int64)
        rows, columns = codes["replicate"], others[codes["against"], 1]
        apart = rows != columns
        n_classes = len(classes)
        group = _keys(
            [
                (codes["probe"], len(names["probe"])),
                (codes["item"], len(names["item"])),
                (own[inverse], n_classes),
                (others[codes["against"], 0], n_classes),
            ]
        )[apart]
        rows, columns, values, states = rows[apart], columns[apart], values[apart], states[apart]
        groups, first, of_group = np.unique(group, return_index=True, return_inverse=True)
        self._cube = np.full((len(groups), self.N, self.N), np.nan)
        self._states = np.zeros((len(groups), self.N, self.N), dtype=np.uint8)
        self._cube[of_group, rows, columns] = np.where(states == OK, values, np.nan)
        self._states[of_group, rows, columns] = states
        listed = list(classes)
        places = np.flatnonzero(apart)[first]
        for index, place in enumerate(places.tolist()):
            self._group_of[
                names["probe"][codes["probe"][place]],
                names["item"][codes["item"][place]],
                listed[own[inverse[place]]],
                listed[others[codes["against"][place], 0]],
            ] = index

    def scalar(self, probe: str, at: StateClass) -> Scalars:
        """Return a probe's run means at a state class; all missing if the table has none."""
        found = self._scalars.get((probe, at))
        if found is None:
            return Scalars(values_N=np.full(self.N, np.nan), states_N=np.zeros(self.N, dtype=np.uint8))
        return found

    def has_scalar(self, probe: str, at: StateClass) -> bool:
        """Whether the table holds any row of the probe at this state class."""
        return (probe, at) in self._scalars

    @property
    def forget_item_names(self) -> list[str]:
        """Names of the items of `forget_loss`, sorted; empty if the table has none."""
        return self._item_names.get(FORGET_LOSS, [])

    def items(self, probe: str, at: StateClass) -> Floats:
        """Return `forget_loss` or a `label_margin` by run and item, [N, I], nan where not OK; items in sorted order."""
        found = self._items.get((probe, at))
        return np.full((self.N, len(self._item_names.get(probe, []))), np.nan) if found is None else found

    def forget_items(self, at: StateClass) -> Floats:
        """Return `forget_loss` per run and item, [N, I] in nats/token, nan where not OK; items in sorted order."""
        return self.items(FORGET_LOSS, at)

    def stack(
        self, probe: str, test_set: str, wanted: Sequence[tuple[StateClass, StateClass]]
    ) -> tuple[Floats, NDArray[np.uint8]]:
        """Return the distances and statuses of many pairs of state classes, [G, N, N] each; as `pairs` gives them."""
        absent = len(self._cube)
        groups = self._group_of
        ahead = np.array([groups.get((probe, test_set, one, two), absent) for one, two in wanted], dtype=np.int64)
        back = np.array([groups.get((probe, test_set, two, one), absent) for one, two in wanted], dtype=np.int64)
        values = np.full((len(wanted), self.N, self.N), np.nan)
        states = np.zeros((len(wanted), self.N, self.N), dtype=np.uint8)
        there = ahead < absent
        values[there], states[there] = self._cube[ahead[there]], self._states[ahead[there]]
        turned = back < absent
        other_values = self._cube[back[turned]].transpose(0, 2, 1)
        other_states = self._states[back[turned]].transpose(0, 2, 1)
        unknown = states[turned] == MISSING
        values[turned] = np.where(unknown, other_values, values[turned])
        states[turned] = np.where(unknown, other_states, states[turned])
        return values, states

    def pairs(self, probe: str, test_set: str, one: StateClass, two: StateClass) -> Pairs:
        """Return the distances between two state classes; a pair stored in the other direction is turned round."""
        values, states = self.stack(probe, test_set, [(one, two)])
        return Pairs(values_NN=values[0], states_NN=states[0])

    def pairs_at_own_steps(
        self, probe: str, test_set: str, one: tuple[str, str, list[int | None]], two: tuple[str, str, list[int | None]]
    ) -> Pairs:
        """Return distances where each run stands at its own step (None: nowhere), as matched forgetting needs.

        Args:
            one: history, unlearning and the step of each replicate.
            two: the same of the columns.
        """
        values = np.full((self.N, self.N), np.nan)
        states = np.zeros((self.N, self.N), dtype=np.uint8)
        for step_one in sorted({step for step in one[2] if step is not None}):
            rows = [r for r, step in enumerate(one[2]) if step == step_one]
            for step_two in sorted({step for step in two[2] if step is not None}):
                columns = [s for s, step in enumerate(two[2]) if step == step_two]
                found = self.pairs(
                    probe, test_set, state_class(one[0], one[1], step_one), state_class(two[0], two[1], step_two)
                )
                block = np.ix_(rows, columns)
                values[block] = found.values_NN[block]
                states[block] = found.states_NN[block]
        return Pairs(values_NN=values, states_NN=states)

    def saved_steps(self, probe: str, test_set: str | None, unlearning: str, histories: list[str]) -> list[int]:
        """Return the steps > 0 of an unlearning at which any of the histories has this probe, ascending.

        Args:
            probe: full name.
            test_set: null for a scalar probe.
            unlearning: its name.
            histories: whose steps count.
        """
        found: set[int] = set()
        for history in histories:
            found |= self._steps.get((probe, test_set, unlearning, history), set())
        return sorted(found)

    def censored_by(self, history: str, unlearning: str, step: int | None) -> set[int]:
        """Return the replicates whose run had stopped being finite at or before `step` (None: at any step)."""
        return {
            replicate
            for (name, method, replicate), first in self.first_censored.items()
            if name == history and method == unlearning and (step is None or first <= step)
        }
