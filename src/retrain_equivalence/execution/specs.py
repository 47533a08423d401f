"""What each kind of task does: the values from which a body works.

A spec holds no data and no weights, only keys and recipes. Names of histories and unlearnings stand only in
measurements, never in what is trained, so renaming a stage retrains nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrain_equivalence.core.identity import Key
from retrain_equivalence.recipes.model import AnyModel, Tuning
from retrain_equivalence.recipes.objective import ObjectiveRecipe
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
class UnlearnSpec:
    """Unlearn the forget stage from an end model, keep the states at `save_at`, record the forget loss at each step."""

    end: Key
    base: Key
    data: Key
    objective: ObjectiveRecipe
    training: TrainingRecipe
    on_long: OnLong
    tuning: Tuning
    order_seed: int
    adapter_seed: int
    save_at: tuple[int, ...]
    level_items: int
    level_max_length: int
    """The forget stage's own, so that step 0, the oracle and every step are measured on the same tokens."""


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


Spec = BaseSpec | GivenSpec | StageSpec | UnlearnSpec | CellsSpec | ProbeSpec | StageLossSpec | DistanceSpec
