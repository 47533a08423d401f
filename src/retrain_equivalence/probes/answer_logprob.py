"""How likely the reference answer is: the utility of TOFU, and of GSM8K by likelihood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retrain_equivalence.core.units import Unit
from retrain_equivalence.data.example import Example
from retrain_equivalence.probes.base import ItemValue, Subject
from retrain_equivalence.probes.scoring import encode_answer, mean_logps


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLogprob:
    """Mean log-probability per token of the response, its end token included.

    `(1/n) Σ_t log p(y_t | x, y_<t)`. Unit: nats per token. Range: -inf to 0; larger is better known.

    Source: Yu et al. (2025), TOFU utility. Deviation: per item, in nats per token, not a mean over items.
    Sees: the reference wording. Cannot see: a right answer in other words.
    """

    measure_name: str
    examples: tuple[Example, ...]
    max_length: int | None = None
    """Longer texts are scored up to here; null scores them whole."""

    def measure(self, subject: Subject) -> Iterator[ItemValue]:
        """Yield one value per example."""
        rows = [encode_answer(subject.codec, example, self.max_length) for example in self.examples]
        for example, value in zip(self.examples, mean_logps(subject, rows), strict=True):
            yield ItemValue.of(self.measure_name, example.id, value, Unit.NATS_PER_TOKEN)
