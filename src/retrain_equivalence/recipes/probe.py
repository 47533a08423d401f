"""What is measured on a state: one frozen value per kind of probe, told apart by its first field's name.

The first field names the stage whose data are scored. `split` says whether its training rows or its held-out rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRecipe:
    """Abstract: the fields that every kind shares."""

    items: int = 32
    """How many rows are scored, >= 1: the first in the order of the hash of their ids, the same for every state."""
    split: Literal["train", "held_out"] = "train"
    """Which rows of the stage's data."""
    at: tuple[int, ...] | None = None
    """At which saved steps, a subset of `save_at`; null measures at every saved step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetScoreProbe(ProbeRecipe):
    """Mean log-probability per token of the label, and separately of its paraphrases (Yu et al. 2025)."""

    forget_score: str
    """Name of the stage."""
    paraphrases: bool = True
    """Whether the 20 committed paraphrases are scored too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLogprobProbe(ProbeRecipe):
    """Mean log-probability per token of the reference answer: the utility of TOFU and of GSM8K by likelihood."""

    answer_logprob: str
    """Name of the stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyProbe(ProbeRecipe):
    """Accuracy by generation of answers ending `#### n`: strict and flexible, greedy and the mean of k samples."""

    accuracy: str
    """Name of the stage; its answers end `#### n`."""
    samples: int = 0
    """How many sampled answers per item beside the greedy one, >= 0."""
    temperature: float = 1.0
    """Of the samples, > 0."""
    max_new_tokens: int = 64
    """Tokens of a generated answer at most, >= 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatchProbe(ProbeRecipe):
    """Whether the greedy generation equals the reference response after trimming blanks."""

    exact_match: str
    """Name of the stage."""
    max_new_tokens: int = 64
    """Tokens of a generated answer at most, >= 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionProbe(ProbeRecipe):
    """Next-token probabilities at fixed positions of fixed texts: what retrain equivalence compares.

    Sets are never pooled: `forget` (training rows), `held_out` (forget rows never trained), `retain:<stage>`,
    `generic`.
    """

    prediction: str
    """Name of the forget stage; the retain stages are among the test sets."""
    positions: int = 8
    """Scored target tokens per item at most, spread evenly, >= 1."""
    cells: int = 2048
    """Cells per position: the base model's top `cells - 2`, the label, the rest; a smaller vocabulary is kept whole."""
    max_rest: float = 0.2
    """A test set whose mean rest mass is larger in either state is unscored."""


AnyProbe = ForgetScoreProbe | AnswerLogprobProbe | AccuracyProbe | ExactMatchProbe | PredictionProbe

PROBE_KINDS: dict[str, type[ProbeRecipe]] = {
    "forget_score": ForgetScoreProbe,
    "answer_logprob": AnswerLogprobProbe,
    "accuracy": AccuracyProbe,
    "exact_match": ExactMatchProbe,
    "prediction": PredictionProbe,
}


def probe_kind(recipe: ProbeRecipe) -> str:
    """Return the kind's name: the first field's name of its YAML form."""
    return next(name for name, kind in PROBE_KINDS.items() if type(recipe) is kind)


def probe_stage(recipe: ProbeRecipe) -> str:
    """Return the name of the stage whose rows the probe scores."""
    return str(getattr(recipe, probe_kind(recipe)))


def probe_name(recipe: ProbeRecipe) -> str:
    """Return the name that rows carry: `kind:stage`, with `:held_out` for held-out rows."""
    return f"{probe_kind(recipe)}:{probe_stage(recipe)}" + (":held_out" if recipe.split == "held_out" else "")
