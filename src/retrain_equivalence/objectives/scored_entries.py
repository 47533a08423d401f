"""Distributions, logits and hidden states with a harmless value outside the scored targets.

A loss that takes an exponential or a logarithm must not meet what stands there: nan times a mask of zero is nan, in the
value and in the gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrain_equivalence.objectives.base import Observed

if TYPE_CHECKING:
    from torch import Tensor


def inside(observed: Observed) -> Tensor:
    """Return the values at the scored targets and 0 elsewhere, shape as the values'; the gradient there is 0."""
    mask = observed.mask_BT
    wide = mask.view(*mask.shape, *(1,) * (observed.values_BT.dim() - mask.dim()))
    return observed.values_BT.masked_fill(~wide, 0.0)


def without_target(observed: Observed, log_BTV: Tensor) -> Tensor:
    """Return log-probabilities, or logits, of all tokens but the target, whose entry becomes minus infinity."""
    return log_BTV.scatter(-1, observed.labels_BT1(), float("-inf"))
