"""How the forget stage is unlearned: a procedure of one or more steps, from a history's end model.

    Phase        gradient steps on an objective: every loss; relearn-first is a phase of `nll` before another one
    WeightEdit   arithmetic on the weights: the task vector of the phases before it, negated
    ReplayFrom   back to an earlier state of the history, and the later stages again without the forget stage

Steps of a procedure are counted through: the optimizer steps of its phases one after another, one for an edit, one for
a replay, which is judged when it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrain_equivalence.histories.history import History, Role
from retrain_equivalence.recipes.dataset import AnyDataset
from retrain_equivalence.recipes.model import Tuning
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.recipes.training import TrainingRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Gradient steps on one objective, with a fresh optimizer."""

    objective: ObjectiveRecipe
    training: TrainingRecipe

    @property
    def n_steps(self) -> int:
        """Optimizer steps. Raises `ValueError` if the duration is not in steps."""
        if self.training.max_steps is None:
            raise ValueError("unlearning is counted in steps: max_steps is required")
        return self.training.max_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightEdit:
    """`θ <- θ_0 - α (θ - θ_0)`, θ_0 the history's end model, θ the state that the phases before have reached.

    Source: Ilharco et al. 2023, negated task vector. Deviation: the vector is taken from the history's own end model
    and not from a common base, since that is what a deletion request finds.
    """

    task_vector: float
    """Strength α, > 0."""

    @property
    def n_steps(self) -> int:
        """One."""
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFrom:
    """Take the history's state before some of its last stages, and train those again without the forget stage.

    At equal seeds a replay that reaches back to the forget stage *is* the history's own retrain oracle, bit for bit (of
    a shuffled control, whose oracle has the study's own sample order, it is the same order in the control's). It is
    judged against the oracles of other replicates only; a difference to its own is undefined. One that does not reach
    back leaves the end model as it was.
    """

    replay: int | Literal["since_forget"]
    """How many of the last stages, >= 1; `since_forget`: the forget stage and all later ones."""

    @property
    def n_steps(self) -> int:
        """One."""
        return 1

    def kept(self, history: History) -> History:
        """Return the prefix that the replay starts from; the whole history must be longer or as long."""
        position = history.position()
        if self.replay == "since_forget":
            assert position is not None
            return History(stages=history.stages[: position - 1], shuffle=history.shuffle)
        return History(stages=history.stages[: max(0, len(history.stages) - self.replay)], shuffle=history.shuffle)

    def is_oracle(self, history: History) -> bool:
        """Whether the replayed model is the history's own oracle: a difference of the two says nothing."""
        return self.result(history) == history.oracle()

    def result(self, history: History) -> History:
        """Return the history that the replayed model has: what it was trained on, in order."""
        kept = self.kept(history)
        later = tuple(s for s in history.stages[len(kept.stages) :] if s.role is not Role.FORGET)
        return History(stages=(*kept.stages, *later), shuffle=history.shuffle)


Step = Phase | WeightEdit | ReplayFrom


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlearning:
    """One way to unlearn the forget stage, applied to the end model of every history."""

    name: str
    """Unique within the study."""
    procedure: tuple[Step, ...]
    """What is done, in order; a replay stands alone, an edit follows a phase."""
    retain_stages: tuple[str, ...] = ()
    """Names of retain stages whose training rows the method may read; for objectives that need retain rows."""
    preferred: Literal["idk"] | AnyDataset | None = None
    """Other answers to the forget prompts: the package's own "I don't know" answers, or a data set with the same
    prompts; for objectives that need preferred answers."""
    tuning: Tuning | None = None
    """Null: as the model (`lora` means a fresh adapter over the merged end model)."""
    save_at: tuple[int, ...] = ()
    """Steps whose state is kept and probed, ascending, 0 and the last included; empty means (0, last)."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The gradient steps of the procedure, without edits and replays."""
        return tuple(step for step in self.procedure if isinstance(step, Phase))

    @property
    def replay(self) -> ReplayFrom | None:
        """The replay, if that is what the procedure does."""
        return next((step for step in self.procedure if isinstance(step, ReplayFrom)), None)

    @property
    def last(self) -> int:
        """How many steps the whole procedure has. Raises `ValueError` if a phase's duration is not in steps."""
        return sum(step.n_steps for step in self.procedure)

    @property
    def steps(self) -> tuple[int, ...]:
        """The saved steps, resolved: `save_at` or (0, last)."""
        return self.save_at or (0, self.last)
