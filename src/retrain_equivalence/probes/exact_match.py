"""Whether the model says the reference answer word for word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retrain_equivalence.core.units import Unit
from retrain_equivalence.data.example import Example
from retrain_equivalence.probes.base import ItemValue, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatch:
    """1 if the greedy generation equals the reference response after trimming blanks at both ends, else 0.

    Unit: fraction. Larger is better. Cannot see: a right answer in other words, or how close a wrong one was.
    """

    measure_name: str
    examples: tuple[Example, ...]
    max_new_tokens: int = 64

    def measure(self, subject: Subject) -> Iterator[ItemValue]:
        """Yield one value per example."""
        from retrain_equivalence.models.generation import generate

        prompts = [example.prompt for example in self.examples]
        answers = generate(subject.model, subject.codec, prompts, max_new_tokens=self.max_new_tokens)
        for example, (answer,) in zip(self.examples, answers, strict=True):
            same = answer.strip() == example.response.strip()
            yield ItemValue.of(self.measure_name, example.id, float(same), Unit.FRACTION)
