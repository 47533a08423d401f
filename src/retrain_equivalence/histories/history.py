"""Stages and histories: the order in which a model learned, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from retrain_equivalence.recipes.dataset import AnyDataset
from retrain_equivalence.recipes.training import TrainingRecipe

BASE = "(base)"
"""Name of the history without stages, in the study's own sample order."""


class Role(StrEnum):
    """What a stage is to the study."""

    FORGET = "forget"
    RETAIN = "retain"
    PLACEBO = "placebo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of training: what is learned, and how."""

    name: str
    """Unique within the study; letters, digits, `_` and `-`."""
    dataset: AnyDataset
    """The rows."""
    training: TrainingRecipe
    """How they are trained on."""
    role: Role = Role.RETAIN
    """Exactly one stage of a study is the forget stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """An order of stages, and which sample order its stages use."""

    stages: tuple[Stage, ...]
    """In the order in which they are trained; may be empty (the base model)."""
    shuffle: int = 0
    """0 is the study's own sample order; `shuffle_only` controls use 1, 2, ..."""

    @property
    def name(self) -> str:
        """`a>b>c`, with `~n` for another sample order; `(base)` if there is no stage."""
        order = ">".join(stage.name for stage in self.stages) or BASE
        return f"{order}~{self.shuffle}" if self.shuffle else order

    def prefixes(self) -> tuple[History, ...]:
        """Every beginning of this history, from one stage to all of them."""
        return tuple(
            History(stages=self.stages[:length], shuffle=self.shuffle) for length in range(1, len(self.stages) + 1)
        )

    def oracle(self) -> History:
        """The retrain oracle: the same order without the forget (or placebo) stage, in the study's own sample order.

        A `shuffle_only` control is judged by the same oracles: their band over replicates moves the sample order too.
        """
        return History(stages=tuple(s for s in self.stages if s.role is Role.RETAIN))

    def position(self) -> int | None:
        """The 1-based position of the forget stage, or None if it has none."""
        for index, stage in enumerate(self.stages, start=1):
            if stage.role is Role.FORGET:
                return index
        return None
