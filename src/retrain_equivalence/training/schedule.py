"""Learning-rate schedules: the share of the peak rate at each step, as pure functions; torch-free.

Design. A schedule is a function of (step, number of steps), so a resumed stage needs no scheduler state. Steps count
from 0 and no step has rate 0: a step at rate 0 would cost a forward and a backward pass, move Adam's moments, change no
weight, and a run of a single step would do nothing. So warm-up begins at 1/W of the peak where `transformers` and
`get_wsd` of Yu et al. 2025 begin at 0, and `wsd` ends exactly at its floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from retrain_equivalence.recipes.training import TrainingRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A schedule with its shares turned into whole steps."""

    kind: str
    """`constant`, `linear`, `cosine` or `wsd`."""
    n_steps: int
    """N, >= 1."""
    n_warmup: int
    """W, 0 <= W <= N."""
    n_decay: int
    """D, 0 <= D <= N; 0 unless `wsd`."""
    floor: float
    """m, the share of the peak at which `wsd` ends."""

    @classmethod
    def of(cls, recipe: TrainingRecipe, n_steps: int) -> Shape:
        """Turn shares into steps: `ceil(share * n_steps)`, as `transformers.TrainingArguments` does for warm-up.

        Yu et al. 2025 round down, so that 2 % of 30 steps is no step at all; rounding up keeps a share above 0 visible.
        """
        return cls(
            kind=recipe.lr_scheduler_type,
            n_steps=n_steps,
            n_warmup=_steps_of(recipe.warmup_ratio, n_steps),
            n_decay=_steps_of(recipe.decay_ratio, n_steps) if recipe.lr_scheduler_type == "wsd" else 0,
            floor=recipe.min_lr_ratio,
        )

    def factor(self, step: int) -> float:
        """Return the learning rate of `step` as a share of the peak, > 0 except where `wsd` has the floor 0.

        With s = step, and the first line that applies:

            (s + 1) / W                               s < W                 warm-up, all kinds
            1                                         constant
            (N - s) / (N - W)                         linear
            (1 + cos(π (s - W) / (N - W))) / 2        cosine
            m + (1 - m) (N - 1 - s) / D               wsd, s >= N - D       decay, ends at m
            1                                         wsd                   stable

        Args:
            step: 0-based, 0 <= step < N.

        Source:
            `transformers.optimization`. `constant`, `linear` and `cosine` equal `get_constant_schedule_with_warmup`,
            `get_linear_schedule_with_warmup` and `get_cosine_schedule_with_warmup` at the same step from W on, and
            at the next step (s + 1) during warm-up. `wsd` at s is `get_wsd` of Yu et al. 2025 at s + 1, throughout
            (m = 0.1 there; their warm-up also wins where warm-up and decay overlap), and `get_wsd_schedule` with
            linear decay at s + 1 from W - 1 on (during warm-up that one starts at m instead of 0).

        >>> shape = Shape(kind="wsd", n_steps=10, n_warmup=2, n_decay=3, floor=0.1)
        >>> [round(shape.factor(step), 2) for step in range(10)]
        [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.7, 0.4, 0.1]
        """
        if not 0 <= step < self.n_steps:
            raise ValueError(f"step {step} is not one of 0..{self.n_steps - 1}")
        if step < self.n_warmup:
            return (step + 1) / self.n_warmup
        after = self.n_steps - self.n_warmup
        if self.kind == "linear":
            return (self.n_steps - step) / after
        if self.kind == "cosine":
            return (1.0 + math.cos(math.pi * (step - self.n_warmup) / after)) / 2.0
        if self.kind == "wsd" and step >= self.n_steps - self.n_decay:
            return self.floor + (1.0 - self.floor) * (self.n_steps - 1 - step) / self.n_decay
        return 1.0


def _steps_of(share: float, n_steps: int) -> int:
    # 0.07 * 100 is 7.000000000000001: without the tolerance that would be 8 steps.
    return min(n_steps, math.ceil(share * n_steps - 1e-9))
