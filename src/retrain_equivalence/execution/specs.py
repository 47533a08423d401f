"""What each kind of task does: the values from which a body works.

A spec holds no data and no weights, only keys and recipes. Names of histories and unlearnings stand only in
measurements, never in what is trained, so renaming a stage retrains nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrain_equivalence.core.identity import Key
from retrain_equivalence.histories.unlearning import Phase, WeightEdit
from retrain_equivalence.recipes.model import AnyModel, Tuning
from retrain_equivalence.recipes.probe import AnyProbe, PredictionProbe
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.records.state_name import StateName

OnLong = Literal["error", "truncate", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseSpec:
    """Make the base model: initialise or read it, and pretrain it if the study says so."""

    model: AnyModel
    init_seed: int
    pretraining_data: Key | None
    order_seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenSpec:
    """Take a checkpoint that was trained elsewhere."""

    path: str
    base: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """Train one stage from a parent state."""

    parent: Key
    base: Key
    data: Key
    training: TrainingRecipe
    on_long: OnLong
    tuning: Tuning
    order_seed: int
    adapter_seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsOf:
    """A data set's training rows, as an unlearning reads them beside the forget rows."""

    data: Key
    on_long: OnLong


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlearnSpec:
    """Unlearn the forget stage from an end model, keep the states at `save_at`, record the forget loss at each step."""

    end: Key
    base: Key
    data: Key
    procedure: tuple[Phase | WeightEdit, ...]
    on_long: OnLong
    tuning: Tuning
    order_seeds: tuple[int, ...]
    """Of the forget rows, one per step of the procedure."""
    retain_order_seeds: tuple[int, ...]
    """Of the retain rows, one per step of the procedure."""
    memory_seed: int
    """Of what an objective draws once."""
    adapter_seed: int
    save_at: tuple[int, ...]
    level_items: int
    level_max_length: int
    """The forget stage's own, so that step 0, the oracle and every step are measured on the same tokens."""
    retain: tuple[RowsOf, ...] = ()
    """What the method may read of the stages that are kept; empty unless an objective needs it."""
    preferred: RowsOf | None = None
    """The forget rows with preferred answers; None unless an objective needs them."""

    @property
    def n_steps(self) -> int:
        """Steps of the whole procedure."""
        return sum(step.n_steps for step in self.procedure)

    def reads(self) -> tuple[tuple[RowsOf, int], ...]:
        """Return everything that is trained on or read beside it, with the length at which it is cut."""
        sets = (
            RowsOf(data=self.data, on_long=self.on_long),
            *self.retain,
            *((self.preferred,) if self.preferred else ()),
        )
        lengths = {step.training.max_length for step in self.procedure if isinstance(step, Phase)}
        return tuple((rows, length) for rows in sets for length in sorted(lengths))


@dataclass(frozen=True, slots=True, kw_only=True)
class CellsSpec:
    """Fix the positions and cells of the prediction snapshots, from the base model."""

    base: Key
    probe: PredictionProbe
    forget: Key
    retain: tuple[tuple[str, Key], ...]
    """(stage name, data) of the stages that are kept; generic text is the package's own."""
    max_length: int
    """Longer texts are cut here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSpec:
    """Measure one probe on a state, or on all its saved steps."""

    state: Key
    base: Key
    steps: tuple[int, ...] | None
    """Saved steps of an unlearning run; None for a trained state."""
    probe: AnyProbe | None
    """None: whole-response loss of `data` (the built-in forget loss)."""
    data: Key | None
    items: int
    max_length: int | None = None
    """The stage's own: longer answers are scored up to here, as they were trained."""
    cells: Key | None = None
    """Only for predictions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLossSpec:
    """Measure the whole-response loss of every stage's rows on one trained state."""

    state: Key
    base: Key
    data: tuple[Key, ...]
    """In the order of the study's stages; the table gives them their names."""
    max_lengths: tuple[int, ...]
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Where a state's prediction snapshot lies."""

    name: StateName
    task: Key
    step: int
    state: Key
    """The object whose weights were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceSpec:
    """Compute the declared distances among states from their snapshots."""

    probe: PredictionProbe
    cells: Key
    states: tuple[Snapshot, ...]
    """States to compare: trained ends (and, for the trained task, none else) or one unlearning's, in history order."""
    oracles: tuple[Snapshot, ...]
    oracle_of: tuple[tuple[str, str], ...]
    """(history, its oracle)."""
    history_order: tuple[str, ...]
    unlearning: str
    """Empty: the distances of trained states, oracles among themselves included."""
    cross_steps: bool
    """Whether pairs of different steps are wanted, for comparisons at matched forgetting."""
    divergences_at: tuple[int, ...]
    """Steps at which the costlier divergences are computed too."""
    every_oracle: bool = False
    """Whether states are held against the oracles of the other orders too, for the excess path gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapSpec:
    """Compute the coupled gaps among the states of one unlearning, or among trained ends."""

    probe: PredictionProbe
    """Whose snapshots are read."""
    cells: Key
    states: tuple[Snapshot, ...]
    """Trained ends (`unlearning` empty), or the saved states of one unlearning; in history order."""
    bases: tuple[tuple[int, Key], ...]
    """(replicate, its base model)."""
    unlearning: str
    """Empty: the trained ends, which are step 0 of every unlearning."""
    history_order: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSpec:
    """Read the label's loss and margin off snapshots, item by item."""

    cells: Key
    states: tuple[Snapshot, ...]
    """Trained ends and oracles, or the saved states of one unlearning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSpec:
    """Compute the declared distances between weights: states to their own oracles, oracles among themselves."""

    measures: tuple[str, ...]
    """Of `study.questions.PARAMETER_DISTANCES`."""
    states: tuple[Snapshot, ...]
    """Trained ends, or the last states of one unlearning; no prediction is read, so `task` is the state's own."""
    oracles: tuple[Snapshot, ...]
    oracle_of: tuple[tuple[str, str], ...]
    """(history, its oracle)."""
    bases: tuple[tuple[int, Key], ...]
    """(replicate, its base model)."""
    unlearning: str
    """Empty: trained states, oracles among themselves included."""


Spec = (
    BaseSpec | GivenSpec | StageSpec | UnlearnSpec | CellsSpec | ProbeSpec | StageLossSpec | DistanceSpec | GapSpec
    | LabelSpec | ParameterSpec
)  # fmt: skip
