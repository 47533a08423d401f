"""Accuracy by generation, for answers that end `#### n`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from retrain_equivalence.core.units import Unit
from retrain_equivalence.data.example import Example
from retrain_equivalence.probes.base import ItemValue, Subject
from retrain_equivalence.probes.final_number import flexible, normalise, strict

READINGS: tuple[tuple[str, Callable[[str], str | None]], ...] = (("strict", strict), ("flexible", flexible))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Whether the generated answer ends with the reference's number: greedy, and the mean over k samples.

    Unit: fraction. Range: 0 or 1 per item (greedy), k + 1 levels (samples); larger is better.

    `strict` reads the number after `#### `, `flexible` the last number of the text; both are compared as text after
    dropping `,`, `$` and a trailing `.`, so `72.0` is not `72`.

    Source: lm-evaluation-harness `gsm8k.yaml`, version 3.0: both filters and the normalisation. Deviation: no
    examples in the prompt and the study's own template, since the models were fine-tuned on it.
    Cannot see: right reasoning that ends in a slip, or a right number by wrong reasoning.
    """

    measure_name: str
    """Without the part after the slash."""
    examples: tuple[Example, ...]
    """Each response holds `#### n`."""
    samples: int = 0
    """Sampled answers per item beside the greedy one."""
    temperature: float = 1.0
    max_new_tokens: int = 64
    seed: int = 0
    """Of the sampling stream; the same for every state, so that states are compared under common random numbers."""

    def measure(self, subject: Subject) -> Iterator[ItemValue]:
        """Yield `…/strict` and `…/flexible`, then `…/samples_strict` and `…/samples_flexible` if samples are asked."""
        from retrain_equivalence.models.generation import generate

        prompts = [example.prompt for example in self.examples]
        greedy = generate(subject.model, subject.codec, prompts, max_new_tokens=self.max_new_tokens)
        yield from self._values("", greedy)
        if self.samples:
            sampled = generate(
                subject.model,
                subject.codec,
                prompts,
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                samples=self.samples,
                seed=self.seed,
            )
            yield from self._values("samples_", sampled)

    def _values(self, prefix: str, answers: list[list[str]]) -> Iterator[ItemValue]:
        for name, read in READINGS:
            for example, texts in zip(self.examples, answers, strict=True):
                right = sum(read(text) == normalise(example.response) for text in texts) / len(texts)
                yield ItemValue.of(f"{self.measure_name}/{prefix}{name}", example.id, right, Unit.FRACTION)
