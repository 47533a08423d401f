"""How the forget stage is unlearned: gradient steps on one objective, from a history's end model."""

from __future__ import annotations

from dataclasses import dataclass

from retrain_equivalence.recipes.model import Tuning
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.recipes.training import TrainingRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Gradient steps on one objective."""

    objective: ObjectiveRecipe
    training: TrainingRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlearning:
    """One way to unlearn the forget stage, applied to the end model of every history."""

    name: str
    """Unique within the study."""
    phase: Phase
    """What is done."""
    tuning: Tuning | None = None
    """Null: as the model (`lora` means a fresh adapter over the merged end model)."""
    save_at: tuple[int, ...] = ()
    """Steps whose state is kept and probed, ascending, 0 and the last included; empty means (0, last)."""

    @property
    def steps(self) -> tuple[int, ...]:
        """The saved steps, resolved: `save_at` or (0, last)."""
        last = self.phase.training.max_steps
        if last is None:
            raise ValueError("unlearning is counted in steps: max_steps is required")
        return self.save_at or (0, last)
