"""Where a training stands: what the loop starts from and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    """Everything that the rest of a training depends on, apart from recipe, rows and seeds."""

    step: int
    """Optimizer steps done, >= 0."""
    weights: dict[str, Tensor]
    """The *trainable* weights by parameter name, on the CPU; under LoRA the adapter's only."""
    moments: dict[str, Tensor]
    """The optimizer's state, `exp_avg/NAME`, `exp_avg_sq/NAME`, `step/NAME`; empty for SGD and at step 0."""
    tokens: int
    """Real (unpadded) tokens trained on so far, prompts included."""
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    """The objective's own state (RMU's direction, PDU's dual variable), on the CPU; empty for most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStep:
    """What one optimizer step did; yielded after it, while the model holds the new weights."""

    step: int
    """Steps done, counted from 1; this one included."""
    n_steps: int
    """Steps of the whole training."""
    loss: float
    """The objective on the global batch *before* the step, per token or per sequence as the objective says."""
    gradient_norm: float
    """Global L2 norm before clipping."""
    learning_rate: float
    """The rate that this step used."""
    tokens: int
    """Real tokens so far, this step included."""
    _copy: Callable[[int], LoopState] = field(repr=False, compare=False)

    def state(self) -> LoopState:
        """Return a copy of weights and moments after this step; nothing is copied unless it is asked for.

        Raises:
            RuntimeError: if the loop has gone on since.
        """
        return self._copy(self.step)
