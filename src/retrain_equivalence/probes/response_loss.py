"""The training loss of single rows: `forget_loss` at every unlearning step, `stage_loss:<stage>` at every node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retrain_equivalence.core.units import Unit
from retrain_equivalence.data.example import Example
from retrain_equivalence.probes.base import ItemValue, Subject
from retrain_equivalence.probes.scoring import encode_answer, mean_logps


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseLoss:
    """Mean negative log-likelihood per token of the whole response, its end token included.

    `-(1/n) Σ_t log p(y_t | x, y_<t)`. Unit: nats per token. Range: 0 to inf; larger is more forgotten.

    What fine-tuning minimises and gradient ascent maximises, row by row.
    """

    measure_name: str
    examples: tuple[Example, ...]
    max_length: int | None = None
    """Longer texts are scored up to here, as they are trained; null scores them whole."""

    def measure(self, subject: Subject) -> Iterator[ItemValue]:
        """Yield one value per example."""
        rows = [encode_answer(subject.codec, example, self.max_length) for example in self.examples]
        for example, value in zip(self.examples, mean_logps(subject, rows), strict=True):
            yield ItemValue.of(self.measure_name, example.id, -value, Unit.NATS_PER_TOKEN)
