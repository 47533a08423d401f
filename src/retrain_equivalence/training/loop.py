"""The one training loop: stages and unlearning are the same loop with another objective.

Design. A generator: it yields after every optimizer step, while the model holds the new weights, and the caller probes,
saves or stops. It owns no clock, no logging and no randomness of its own: rows of a step are a pure function of
(order seed, step), so a loop that starts from a `LoopState` goes on bit for bit as if it had never stopped.

    step ─► rows of the global batch ─► micro-batches ─► forward ─► objective: sum / denominator ─► backward, summed
         ─► finite? ─► clip ─► optimizer ─► yield LoopStep

The denominator (tokens or sequences of the whole global batch) is counted before the first forward pass, so the loss
does not depend on how the batch is split or padded. The model stays in eval mode: dropout would break pairing by seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from retrain_equivalence.core.errors import Problem, RunError
from retrain_equivalence.data.order import batches
from retrain_equivalence.models.codec import Encoded
from retrain_equivalence.models.forward import pad, token_logps
from retrain_equivalence.models.weights import copy_into
from retrain_equivalence.objectives.base import (
    MADE_PASSES,
    POLICY_LOGPS,
    REFERENCE_LOGPS,
    Objective,
    Observed,
    Per,
    Seen,
)
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.training.duration import n_steps
from retrain_equivalence.training.non_finite import NonFinite
from retrain_equivalence.training.optimizer import load_moments, make_optimizer, moments_of
from retrain_equivalence.training.reference import aligned
from retrain_equivalence.training.schedule import Shape
from retrain_equivalence.training.state import LoopState, LoopStep

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["LoopState", "LoopStep", "NonFinite", "n_steps", "train"]


def train(
    model: PreTrainedModel,
    rows: Sequence[Encoded],
    *,
    recipe: TrainingRecipe,
    objective: Objective,
    order_seed: int,
    pad_id: int,
    reference: Mapping[str, Tensor] | None = None,
    start: LoopState | None = None,
    place: str = "",
) -> Iterator[LoopStep]:
    """Train `model` in place, yielding after every optimizer step.

    Args:
        model: a causal language model, or a peft wrapper of one; parameters with `requires_grad` are trained.
        rows: the data, unpadded.
        recipe: optimizer, schedule, duration, batch.
        objective: what is minimised; its passes say whether `reference` is needed.
        order_seed: stream of the sample order, 0 <= order_seed < 2**64.
        pad_id: fills short rows; its value has no effect.
        reference: row id -> log-probabilities of the row's targets under the start model, [n_targets].
        start: where to go on from; null starts anew, with a fresh optimizer.
        place: names the stage or unlearning in messages.

    Yields:
        One `LoopStep` per step, from `start.step + 1` to the last; nothing if `start` is the end.

    Raises:
        NonFinite: E-RUN-01, before a step with a non-finite loss or gradient.
        RunError: E-RUN-02 if no row of a batch has a scored token; E-RUN-03, E-RUN-04, E-RUN-05 and E-RUN-06 if
            objective, reference or start state do not fit.
    """
    loop = _Loop(
        model=model,
        rows=rows,
        recipe=recipe,
        objective=objective,
        pad_id=pad_id,
        reference=reference,
        place=place,
    )
    loop.check()
    done, tokens = loop.load(start)
    total_steps = n_steps(recipe, len(rows), [len(row.ids) for row in rows])
    shape = Shape.of(recipe, total_steps)
    order = batches(len(rows), recipe.global_batch_size, order_seed)
    for step in range(done, total_steps):
        batch = [rows[index] for index in order[step]]
        rate = recipe.learning_rate * shape.factor(step)
        loss, norm = loop.take(batch, rate)
        tokens += sum(len(row.ids) for row in batch)
        loop.done, loop.tokens = step + 1, tokens
        yield LoopStep(
            step=step + 1,
            n_steps=total_steps,
            loss=loss,
            gradient_norm=norm,
            learning_rate=rate,
            tokens=tokens,
            _copy=loop.copy,
        )


@dataclass(slots=True, kw_only=True)
class _Loop:
    """The moving parts of one training."""

    model: PreTrainedModel
    rows: Sequence[Encoded]
    recipe: TrainingRecipe
    objective: Objective
    pad_id: int
    reference: Mapping[str, Tensor] | None
    place: str
    done: int = 0
    tokens: int = 0
    last_finite: float | None = None
    parameters: dict[str, nn.Parameter] = field(init=False)
    listed: list[nn.Parameter] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    device: torch.device = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.listed = list(self.parameters.values())
        self.device = next(self.model.parameters()).device
        if self.listed:
            self.optimizer = make_optimizer(self.recipe, self.parameters)

    def check(self) -> None:
        """Refuse what cannot work before the first step."""
        objective = self.objective
        unmade = [asked for asked in objective.passes if asked not in MADE_PASSES]
        if unmade:
            listed = ", ".join(f"{asked.split}/{asked.weights}/{asked.signal}" for asked in unmade)
            raise self._refused(
                "E-RUN-05", f"objective '{objective.name}' reads {listed}, which this loop does not make", "read others"
            )
        if REFERENCE_LOGPS in objective.passes and self.reference is None:
            raise self._refused(
                "E-RUN-04",
                f"objective '{objective.name}' needs reference log-probabilities, and none are given",
                "compute them from the start model",
            )
        if not self.listed:
            raise self._refused(
                "E-RUN-06", "the model has no trainable weight", "attach an adapter or train all weights"
            )

    def load(self, start: LoopState | None) -> tuple[int, int]:
        """Put `start` into model and optimizer; return its step and tokens."""
        if start is None:
            return 0, 0
        try:
            copy_into(self.parameters, start.weights)
            load_moments(self.optimizer, self.parameters, start.moments)
        except ValueError as error:
            raise self._refused(
                "E-RUN-06", f"the state at step {start.step} is not of this training: {error}", "start the stage anew"
            ) from error
        self.done, self.tokens = start.step, start.tokens
        return start.step, start.tokens

    def copy(self, step: int) -> LoopState:
        """Return a copy of the state, if the loop still stands at `step`."""
        if step != self.done:
            raise RuntimeError(f"the loop stands at step {self.done}; the state of step {step} is gone")
        return LoopState(
            step=step,
            weights={name: p.detach().to("cpu", copy=True) for name, p in self.parameters.items()},
            moments=moments_of(self.optimizer, self.parameters),
            tokens=self.tokens,
        )

    def take(self, batch: list[Encoded], rate: float) -> tuple[float, float]:
        """Take one optimizer step; return loss and gradient norm, both finite."""
        denominator = self._count(batch)
        if denominator == 0:
            raise self._refused(
                "E-RUN-02",
                f"no row of the batch at step {self.done + 1} has a scored token",
                "raise max_length, or drop rows whose prompt fills it",
            )
        losses: list[Tensor] = []
        for rows in self._micro_batches(batch):
            loss = self._sum(rows) / denominator
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        gradients = [weight.grad for weight in self.listed if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # One transfer for loss and norm together: on an accelerator each one waits for all that was queued.
        loss_value, norm_value = torch.stack((torch.stack(losses).sum(), norm.to(losses[0].dtype))).tolist()
        if not (math.isfinite(loss_value) and math.isfinite(norm_value)):
            self.optimizer.zero_grad(set_to_none=True)
            raise NonFinite(self.done + 1, loss_value, self.last_finite, self._culprits(batch), self.place)
        limit = self.recipe.max_grad_norm
        if limit is not None and norm_value > limit:
            torch.nn.utils.clip_grads_with_norm_(self.listed, limit, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.last_finite = loss_value
        return loss_value, norm_value

    def _micro_batches(self, batch: list[Encoded]) -> Iterator[list[Encoded]]:
        size = self.recipe.micro_batch_size
        if size is None or size >= len(batch):
            yield batch
            return
        # Rows of like length together: less padding. The global batch, and so the loss, is the same for any order.
        ordered = sorted(batch, key=lambda row: len(row.ids))
        for begin in range(0, len(ordered), size):
            yield ordered[begin : begin + size]

    def _count(self, rows: list[Encoded]) -> int:
        """Return how many tokens or sequences of `rows` the objective is a mean over."""
        if self.objective.per is Per.TOKEN:
            return sum(row.n_targets for row in rows)
        return sum(1 for row in rows if row.n_targets)

    def _sum(self, rows: list[Encoded]) -> Tensor:
        """Return the objective's sum over one micro-batch."""
        objective = self.objective
        logps_BT, mask_BT = token_logps(self.model, pad(rows, self.pad_id).to(self.device))
        observed = {POLICY_LOGPS: Observed(values_BT=logps_BT, mask_BT=mask_BT)}
        if self.reference is not None and REFERENCE_LOGPS in objective.passes:
            values_BT = aligned(self.reference, rows, mask_BT)
            observed[REFERENCE_LOGPS] = Observed(values_BT=values_BT, mask_BT=mask_BT)
        terms = objective(Seen(observed, declared=objective.passes, name=objective.name))
        counted = self._count(rows)
        if terms.per is not objective.per or terms.count != counted:
            raise self._refused(
                "E-RUN-05",
                f"objective '{objective.name}' summed {terms.count} per {terms.per} where the batch has "
                f"{counted} per {objective.per}",
                "return sum and count over the mask; retrain_equivalence.testing.check_objective finds such faults",
            )
        return terms.total

    def _culprits(self, batch: list[Encoded]) -> tuple[str, ...]:
        """Return the rows whose own log-probabilities are not finite; the whole batch if that tells nothing."""
        with torch.no_grad():
            odd = tuple(
                row.id
                for row in batch
                if not token_logps(self.model, pad([row], self.pad_id).to(self.device))[0].isfinite().all()
            )
        return odd or tuple(row.id for row in batch)

    def _refused(self, code: str, message: str, fix: str) -> RunError:
        return RunError(Problem(code=code, place=self.place, message=message, fix=fix))
