"""A study: everything that is decided before any result, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrain_equivalence.histories.history import History, Role, Stage
from retrain_equivalence.histories.orders import ORDERINGS, forget_at_position, placebo_of
from retrain_equivalence.histories.unlearning import Unlearning
from retrain_equivalence.recipes.dataset import AnyDataset
from retrain_equivalence.recipes.model import AnyModel
from retrain_equivalence.recipes.probe import AnyProbe

ACKNOWLEDGEMENT = "isolated research, weights not released"

Contrast = Literal[
    "oracle_distance",
    "oracle_bias",
    "improvement",
    "path_gap",
    "excess_path_gap",
    "path_spread",
    "growth",
    "stopping_price",
    "recency",
    "difference",
    "distribution",
]
CONTRASTS: dict[Contrast, str] = {
    "oracle_distance": "Distance of a history to the independent oracles, beside the band of oracles among themselves.",
    "oracle_bias": "That distance without seed noise: 0 if unlearned and retrained models have one law.",
    "improvement": "That distance after unlearning minus before.",
    "path_gap": "Debiased squared distance between two histories; of a scalar probe, their paired difference.",
    "excess_path_gap": "The path gap beyond that of the histories' own oracles, as vectors.",
    "path_spread": "Variance between histories beside the variance between seeds.",
    "growth": "Rate and class of parting of histories of equal draws under a method, beside those of replicates.",
    "stopping_price": "What one stopping step for all histories costs in distance to the oracle, cross-fitted.",
    "recency": "Steps to the oracle's forget level: last position against the mean of the earlier ones.",
    "difference": "Signed paired difference of a scalar probe to the oracle, judged by two one-sided tests (TOST).",
    "distribution": "Laws of unlearned runs against laws of independent oracles, by permutation of whole runs.",
}
"""What is compared, in a sentence each; `docs/glossary.md` defines them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How much is too much; stated before any result, with its reason."""

    rationale: str
    """Why this much; printed beside every verdict."""
    value: float | None = None
    """Absolute, in the probe's unit, > 0; for signed and debiased quantities. Exactly one of this and `times_band`."""
    times_band: float | None = None
    """Multiple of the retrain-retrain band, > 1; for raw distances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One declared question to the table."""

    contrast: Contrast
    """What is compared; `docs/glossary.md` defines each contrast."""
    probe: str
    """A probe's kind (`prediction`) or full name (`answer_logprob:tofu`)."""
    margin: Margin | None = None
    """Null: estimate and interval only, no verdict."""
    alignment: Literal["at_end", "at_each_step", "at_forget_level"] = "at_end"
    """Where trajectories are compared."""
    family: str = "primary"
    """Comparisons of one family are corrected together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A checkpoint trained elsewhere, taken as this study's own state."""

    history: tuple[str, ...]
    """Stage names in order: a history's end model, or an oracle."""
    path: str
    """A Hugging Face folder with safetensors."""
    replicate: int = 0
    """Which replicate it stands for, counted from 0."""
    unlearning: str = ""
    """Empty: the trained state; else the unlearned one, at its last step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The whole study; `load_study` reads it, `plan` turns it into tasks."""

    name: str
    """Letters, digits, `_` and `-`, at most 64; names the results folder, never a key."""
    question: str
    """What the study asks, in one sentence."""
    model: AnyModel
    """The base model, and how stages change it."""
    stages: tuple[Stage, ...]
    """In the order of the file; exactly one has role `forget`."""
    unlearnings: tuple[Unlearning, ...]
    """Ways to unlearn the forget stage, each applied to every history."""
    probes: tuple[AnyProbe, ...]
    """What is measured; losses on forget items and on stages are recorded anyway."""
    comparisons: tuple[Comparison, ...] = ()
    """The declared questions, with their margins."""
    histories: str | tuple[str | tuple[str, ...], ...] | None = None
    """An ordering's name, or a list of such names, `placebo` and explicit orders; this or `position`."""
    position: int | None = None
    """A single history: the forget stage at this 1-based position."""
    placebo: AnyDataset | None = None
    """The data of the placebo stage, cut to the forget stage's number of training rows; needed by `placebo` in
    `histories`."""
    given: tuple[Given, ...] = ()
    """Checkpoints that were trained elsewhere."""
    replicates: int = 10
    """Runs per history, >= 1."""
    oracle_replicates: int = 0
    """Further oracle-only replicates, >= 0."""
    looks: tuple[int, ...] = ()
    """Replicates at which the table may be judged before it is complete, ascending, below `replicates`; empty: only at
    the end. The error rate is spent over the looks (O'Brien-Fleming type)."""
    seed: int = 0
    """0 <= seed < 2**63."""
    threads: int = 1
    """Threads per task, >= 1; identity, since it moves bits."""
    forget_level_items: int = 16
    """Forget rows whose whole-response loss is recorded at every unlearning step, >= 2; half stop, half judge."""
    max_artifacts: int = 20_000
    """A plan with more states (trained and saved while unlearning) is refused, >= 1; never part of a key."""
    acknowledge: str = ""
    """Required word for word by sensitive safety data."""
    notes: str = ""
    """Free text; enters no key."""

    @property
    def forget(self) -> Stage:
        """The forget stage."""
        return next(stage for stage in self.stages if stage.role is Role.FORGET)

    def all_histories(self) -> tuple[History, ...]:
        """The histories that are unlearned, in declared order, each once."""
        if self.position is not None:
            return (forget_at_position(self.stages, self.position),)
        asked = (self.histories,) if isinstance(self.histories, str) else self.histories or ()
        by_name = {stage.name: stage for stage in self.stages}
        found: dict[str, History] = {}
        for item in asked:
            if item == "placebo":
                continue
            if isinstance(item, str):
                orders = ORDERINGS[item](self.stages)
            else:
                orders = (History(stages=tuple(by_name[name] for name in item)),)
            found.update((history.name, history) for history in orders)
        if "placebo" in asked and self.placebo is not None:
            for history in tuple(found.values()):
                other = placebo_of(history, self.placebo)
                found.setdefault(other.name, other)
        return tuple(found.values())

    def oracles(self) -> tuple[History, ...]:
        """The distinct retrain oracles of the histories, in the order in which they first appear."""
        return tuple({oracle.name: oracle for oracle in (h.oracle() for h in self.all_histories())}.values())
