"""The one training loop: stages and unlearning are the same loop with another objective.

Design. A generator: it yields after every optimizer step, while the model holds the new weights, and the caller probes,
saves or stops. It owns no clock, no logging and no randomness of its own: rows of a step are a pure function of
(order seed, step), so a loop that starts from a `LoopState` goes on bit for bit as if it had never stopped.

    step ─► rows of the global batch ─► micro-batches ─► passes ─► each part: sum / denominator, times its weight
         ─► backward, summed ─► finite? ─► clip ─► optimizer ─► the parts' state ─► yield LoopStep

Every objective is a sum of parts here (`objectives.weighted_sum`); a single one is a sum of itself. The denominator
(tokens or sequences of the whole global batch) is counted before the first forward pass, so the loss does not depend on
how the batch is split or padded. The model stays in eval mode: dropout would break pairing by seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from retrain_equivalence.core.errors import Problem, RunError
from retrain_equivalence.data.order import BatchOrder, batches, steps_per_epoch
from retrain_equivalence.models.codec import Encoded
from retrain_equivalence.models.forward import causal_model, pad, token_logps
from retrain_equivalence.models.weights import copy_into
from retrain_equivalence.objectives.base import Memory, Objective, Observed, Per, Seen, counted_split
from retrain_equivalence.objectives.weighted_sum import WeightedSum, as_sum
from retrain_equivalence.recipes.passes import ForwardPass, Split
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.training.companions import ALONE, Companions
from retrain_equivalence.training.duration import n_steps
from retrain_equivalence.training.non_finite import NonFinite
from retrain_equivalence.training.optimizer import load_moments, make_optimizer, moments_of
from retrain_equivalence.training.passes import PassMaker, Rows, missing
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
    objective: Objective | WeightedSum,
    order_seed: int,
    pad_id: int,
    companions: Companions = ALONE,
    start: LoopState | None = None,
    place: str = "",
) -> Iterator[LoopStep]:
    """Train `model` in place, yielding after every optimizer step.

    Args:
        model: a causal language model, or a peft wrapper of one; parameters with `requires_grad` are trained.
        rows: the data, unpadded.
        recipe: optimizer, schedule, duration, batch.
        objective: what is minimised; its passes say what of `companions` is needed.
        order_seed: stream of the sample order, 0 <= order_seed < 2**64.
        pad_id: fills short rows; its value has no effect.
        companions: further rows and frozen models that the objective reads.
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
        objective=as_sum(objective),
        pad_id=pad_id,
        companions=companions,
        place=place,
    )
    loop.check()
    done, tokens = loop.load(start)
    total_steps = n_steps(recipe, len(rows), [len(row.ids) for row in rows])
    shape = Shape.of(recipe, total_steps)
    order = batches(len(rows), recipe.global_batch_size, order_seed)
    for step in range(done, total_steps):
        batch = loop.rows_of([rows[index] for index in order[step]], step)
        rate = recipe.learning_rate * shape.factor(step)
        loss, norm = loop.take(batch, rate)
        tokens += sum(len(row.ids) for split, some in batch.items() if split in loop.read for row in some)
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
    objective: WeightedSum
    pad_id: int
    companions: Companions
    place: str
    done: int = 0
    tokens: int = 0
    last_finite: float | None = None
    parameters: dict[str, nn.Parameter] = field(init=False)
    listed: list[nn.Parameter] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    device: torch.device = field(init=False)
    memory: Memory = field(init=False)
    make: PassMaker = field(init=False)
    retain_order: BatchOrder | None = field(init=False)
    read: frozenset[Split] = field(init=False)
    """Whose rows the objective reads."""

    def __post_init__(self) -> None:
        self.parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.listed = list(self.parameters.values())
        self.read = frozenset(asked.split for asked in self.objective.passes)
        self.device = next(self.model.parameters()).device
        if self.listed:
            self.optimizer = make_optimizer(self.recipe, self.parameters)
        made = self.objective.init(self.companions.memory_seed, causal_model(self.model).config.hidden_size)
        self.memory = {name: tensor.to(self.device) for name, tensor in made.items()}
        self.make = PassMaker(
            model=self.model, companions=self.companions, passes=self.objective.passes, pad_id=self.pad_id,
            device=self.device,
        )  # fmt: skip
        # One row at a time: however short the last batch of an epoch is, every forget row has a retain row beside it.
        retain = len(self.companions.retain)
        self.retain_order = batches(retain, 1, self.companions.retain_order_seed) if retain else None

    def check(self) -> None:
        """Refuse what cannot work before the first step."""
        adapted = self.model is not causal_model(self.model)
        if lacks := missing(self.objective.passes, self.companions, adapted=adapted):
            raise self._refused(
                "E-RUN-04", f"{self._names()} needs {lacks}, and there is none", "give it in the companions"
            )
        if not self.listed:
            raise self._refused(
                "E-RUN-06", "the model has no trainable weight", "attach an adapter or train all weights"
            )

    def _names(self) -> str:
        return " + ".join(f"objective '{part.objective.name}'" for part in self.objective.parts)

    def load(self, start: LoopState | None) -> tuple[int, int]:
        """Put `start` into model, optimizer and the objective's state; return its step and tokens."""
        if start is None:
            return 0, 0
        try:
            if start.memory.keys() != self.memory.keys():
                raise ValueError(f"it has the memory {sorted(start.memory)}, expected {sorted(self.memory)}")
            copy_into(self.parameters, start.weights)
            load_moments(self.optimizer, self.parameters, start.moments)
        except ValueError as error:
            raise self._refused(
                "E-RUN-06", f"the state at step {start.step} is not of this training: {error}", "start the stage anew"
            ) from error
        self.memory = {name: tensor.to(self.device) for name, tensor in start.memory.items()}
        self.done, self.tokens = start.step, start.tokens
        return start.step, start.tokens

    def rows_of(self, batch: list[Encoded], step: int) -> Rows:
        """Return the rows of a step: the forget rows, their preferred answers, and as many retain rows."""
        found: dict[Split, list[Encoded]] = {Split.FORGET: batch}
        if Split.PREFERRED in self.read:
            found[Split.PREFERRED] = [self.companions.preferred[row.id] for row in batch]
        if Split.RETAIN in self.read and self.retain_order is not None:
            size, epoch = self.recipe.global_batch_size, steps_per_epoch(len(self.rows), self.recipe.global_batch_size)
            # Rows taken so far: the last batch of an epoch may be short, and no retain row is skipped for it.
            first = step // epoch * len(self.rows) + step % epoch * size
            numbers = (self.retain_order[first + i][0] for i in range(len(batch)))
            found[Split.RETAIN] = [self.companions.retain[number] for number in numbers]
        return found

    def copy(self, step: int) -> LoopState:
        """Return a copy of the state, if the loop still stands at `step`."""
        if step != self.done:
            raise RuntimeError(f"the loop stands at step {self.done}; the state of step {step} is gone")
        return LoopState(
            step=step,
            weights={name: p.detach().to("cpu", copy=True) for name, p in self.parameters.items()},
            moments=moments_of(self.optimizer, self.parameters),
            tokens=self.tokens,
            memory={name: tensor.detach().to("cpu", copy=True) for name, tensor in self.memory.items()},
        )

    def take(self, batch: Rows, rate: float) -> tuple[float, float]:
        """Take one optimizer step; return loss and gradient norm, both finite."""
        denominators = [self._count(part.objective, batch) for part in self.objective.parts]
        weights = self.objective.weights(self.memory)
        if 0 in denominators:
            raise self._refused(
                "E-RUN-02",
                f"no row of the batch at step {self.done + 1} has a scored token",
                "raise max_length, or drop rows whose prompt fills it",
            )
        losses: list[list[Tensor]] = [[] for _ in weights]
        for rows in self._micro_batches(batch):
            observed = self.make(rows)
            terms = [
                (number, self._sum(number, rows, observed) / denominators[number])
                for number, part in enumerate(self.objective.parts)
                if all(asked.split in rows for asked in part.objective.passes)
            ]
            for number, loss in terms:
                losses[number].append(loss.detach())
            torch.stack([loss * weights[number] for number, loss in terms]).sum().backward()  # type: ignore[no-untyped-call]
        gradients = [weight.grad for weight in self.listed if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # One transfer for losses and norm together: on an accelerator each one waits for all that was queued.
        means = [torch.stack(some).sum() for some in losses]
        *parts, norm_value = torch.stack((*means, norm.to(means[0].dtype))).tolist()
        loss_value = sum(weight * part for weight, part in zip(weights, parts, strict=True))
        if not (math.isfinite(loss_value) and math.isfinite(norm_value)):
            self.optimizer.zero_grad(set_to_none=True)
            culprits = self._culprits([row for split, some in batch.items() if split in self.read for row in some])
            raise NonFinite(self.done + 1, loss_value, self.last_finite, culprits, self.place)
        limit = self.recipe.max_grad_norm
        if limit is not None and norm_value > limit:
            torch.nn.utils.clip_grads_with_norm_(self.listed, limit, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.last_finite = loss_value
        changed = self.objective.after_step(self.memory, parts)
        self.memory = {name: tensor.to(self.device) for name, tensor in changed.items()}
        return loss_value, norm_value

    def _micro_batches(self, batch: Rows) -> Iterator[Rows]:
        forget = batch[Split.FORGET]
        size = self.recipe.micro_batch_size
        if size is None or size >= len(forget):
            yield {split: rows for split, rows in batch.items() if rows}
            return
        # Rows of like length together: less padding. The global batch, and so the loss, is the same for any order.
        # Preferred answers stay beside their forget rows; retain rows are ordered for themselves.
        by_length = sorted(range(len(forget)), key=lambda index: len(forget[index].ids))
        ordered = {
            split: [rows[i] for i in by_length] if split is not Split.RETAIN else sorted(rows, key=lambda r: len(r.ids))
            for split, rows in batch.items()
        }
        for begin in range(0, len(forget), size):
            yield {split: rows[begin : begin + size] for split, rows in ordered.items()}

    def _count(self, objective: Objective, rows: Rows) -> int:
        """Return how many tokens or sequences of `rows` an objective is a mean over."""
        counted = rows[counted_split(objective)]
        if objective.per is Per.TOKEN:
            return sum(row.n_targets for row in counted)
        return sum(1 for row in counted if row.n_targets)

    def _sum(self, number: int, rows: Rows, observed: Mapping[ForwardPass, Observed]) -> Tensor:
        """Return the sum of one part over one micro-batch."""
        objective = self.objective.parts[number].objective
        memory = self.objective.memory_of(number, self.memory)
        terms = objective(Seen(observed, declared=objective.passes, name=objective.name, memory=memory))
        counted = self._count(objective, rows)
        if terms.per is not objective.per or terms.count != counted:
            raise self._refused(
                "E-RUN-05",
                f"objective '{objective.name}' summed {terms.count} per {terms.per} where the batch has "
                f"{counted} per {objective.per}",
                "return sum and count over the mask; retrain_equivalence.testing.check_objective finds such faults",
            )
        return terms.total

    def _culprits(self, batch: Sequence[Encoded]) -> tuple[str, ...]:
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
