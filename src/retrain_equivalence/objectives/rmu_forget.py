"""RMU's forget term: push the hidden states of forget answers towards one random direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from retrain_equivalence.objectives.base import Per, Seen, Terms, check_positive
from retrain_equivalence.objectives.hidden_gap import hidden_terms
from retrain_equivalence.recipes.passes import ForwardPass, Signal

if TYPE_CHECKING:
    from torch import Tensor

DIRECTION = "direction"


@dataclass(frozen=True, slots=True, kw_only=True)
class RMUForget:
    """Mean squared distance of the forget answers' hidden states from a fixed random vector.

    `L = (1/B) Σ_b (1/n_b) Σ_t (1/D) Σ_d (h_{b,t,d} - c_d)²`, h the hidden states after `layer` where the answer's
    tokens are read in, n_b the row's scored tokens, `c = s u/‖u‖`, u drawn once with uniform entries in [0, 1), D their
    number, s the steering coefficient. The direction is equal for all histories of a replicate.

    Args of `__call__`:
        seen: hidden states of the forget rows after `layer`, shape [B, T, D], with the mask of scored targets; the
            state holds `direction`, u/‖u‖, shape [D].

    Returns:
        Sum over rows and the number of rows with a scored target.

    Source:
        Li et al. 2024 (RMU, WMDP); open-unlearning `rmu.py` (steering 2, after block 7, which is layer 8 here).
        Deviations: theirs, as written, divides by the lengths of all rows through a broadcast [B]/[B, 1], which is this
        formula only for one row or equal lengths; u comes from a generator of its own; which weights are trained is the
        study's choice, where theirs are three blocks' down-projections. Upstream's mean also runs over padding.

    D = 2, direction (0.6, 0.8), s = 5, so c = (3, 4); h = 0 at one token: (9 + 16)/2.

    >>> import torch
    >>> from retrain_equivalence.objectives.base import Observed
    >>> loss = RMUForget(layer=1, steering=5.0)
    >>> hidden = Observed(values_BT=torch.zeros(1, 1, 2), mask_BT=torch.ones(1, 1).bool())
    >>> memory = {"direction": torch.tensor([0.6, 0.8])}
    >>> seen = Seen({loss.passes[0]: hidden}, declared=loss.passes, memory=memory)
    >>> round(float(loss(seen).total), 4), loss(seen).count
    (12.5, 1)
    """

    name: ClassVar[str] = "rmu_forget"
    per: ClassVar[Per] = Per.SEQUENCE
    cite: ClassVar[str] = """@inproceedings{li2024wmdp,
  title     = {The {WMDP} Benchmark: Measuring and Reducing Malicious Use with Unlearning},
  author    = {Li, Nathaniel and Pan, Alexander and Gopal, Anjali and Yue, Summer and others},
  booktitle = {International Conference on Machine Learning},
  year      = {2024}
}"""

    layer: int
    """After which layer, 0 (the embedding) to the model's number of layers."""
    steering: float = 2.0
    """Length s of the target vector, > 0; about the size of the hidden states times what they are to be moved by."""

    def __post_init__(self) -> None:
        if self.layer < 0:
            raise ValueError(f"layer must be at least 0, found {self.layer}")
        check_positive("steering", self.steering)

    @property
    def passes(self) -> tuple[ForwardPass, ...]:
        """Hidden states of the forget rows after the layer."""
        return (ForwardPass(signal=Signal.HIDDEN, layer=self.layer),)

    def init(self, seed: int, width: int) -> dict[str, Tensor]:
        """Return the unit vector, float32, shape [width]."""
        import torch

        drawn = torch.rand(width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return {DIRECTION: (drawn / drawn.norm()).to(torch.float32)}

    def __call__(self, seen: Seen) -> Terms:
        policy = seen[self.passes[0]]
        return hidden_terms(policy, self.steering * seen.memory[DIRECTION].to(policy.values_BT.dtype))
