"""What a data set is, by kind: one frozen value each, told apart by its first field's name.

The YAML form is the field form: `{generated: refusals, rows: 512}`, `{tofu: full}`, `{jsonl: mine.jsonl, ...}`.
A recipe says what was asked for; what enters a key is the digest of the rows that were ingested.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRecipe:
    """Abstract: the fields that every kind shares."""

    rows: int | None = None
    """How many rows to take, >= 1, chosen by `seed` over whole clusters where possible; null takes all."""
    held_out: float = 0.1
    """Share of the taken rows kept out of training, by whole near-duplicate clusters, 0 <= held_out < 1."""
    seed: int = 0
    """Which rows are taken and which are held out, >= 0."""
    on_long: Literal["error", "truncate", "drop"] = "error"
    """What to do with a row longer than the training's `max_length`; never silent, counts are reported."""
    allow_duplicates: bool = False
    """Whether exact duplicate rows are accepted with a warning instead of refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedDataset(DatasetRecipe):
    """Rows that this package writes itself, deterministically, without any download."""

    generated: Literal["instructions", "authors", "arithmetic", "refusals"]
    """Instruction templates, fictitious authors, word problems ending `#### n`, or placeholder requests refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TofuDataset(DatasetRecipe):
    """TOFU (Maini et al. 2024): questions about fictitious authors; clusters are authors."""

    tofu: Literal[
        "full", "forget01", "forget05", "forget10", "retain99", "retain95", "retain90",
        "holdout01", "holdout05", "holdout10", "real_authors", "world_facts",
    ]  # fmt: skip
    """Which configuration of `locuslab/TOFU`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gsm8kDataset(DatasetRecipe):
    """GSM8K (Cobbe et al. 2021): calculator marks stripped, the last line `#### n` kept."""

    gsm8k: Literal["train", "test"]
    """Which split of `openai/gsm8k`, configuration `main`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructSkillmixDataset(DatasetRecipe):
    """Instruct-SkillMix (Kaur et al. 2024): model-generated instructions and answers."""

    instruct_skillmix: Literal["k2_1000", "heldout_k2_100", "sdd", "sda_4k"]
    """Which file (`k2_1000`, `heldout_k2_100`) or hub set (`sdd` is the paper's, `sda_4k`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructMixDataset(DatasetRecipe):
    """A mix of permissively licensed instruction sets read from a data directory."""

    instruct_mix: Literal["mix_4k"]
    """Which file of the data directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalsDataset(DatasetRecipe):
    """Refusals, written by templates, to prompts of a safety set; only refusals are ever trained.

    The prompts are sensitive: they appear in no message, log or report, only their ids do.
    """

    refusals: Literal["prompts", "sorry_bench", "do_not_answer", "harmfulqa"]
    """`prompts` reads the data directory; the others name hub sets (SORRY-Bench is gated: the user's own token)."""
    wording: Literal["cannot", "can not"] = "cannot"
    """How a refusal opens: "Sorry, I cannot assist you", or "can not" as in the paper's own studies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonlDataset(DatasetRecipe):
    """A user's own rows: one JSON object a line."""

    jsonl: str
    """Path of the file, relative to the study file or the data directory."""
    prompt: str = "prompt"
    """The field that holds the prompt."""
    response: str = "response"
    """The field that holds the response."""
    row_id: str | None = None
    """The field that holds a unique id; null numbers the rows."""
    cluster: str | None = None
    """The field that groups near duplicates (an author, a template); null groups equal normalised prompts."""
    label: str | None = None
    """The field that holds the label string for the forget score; null scores the response."""
    sensitive: bool = False
    """Whether row texts must never be shown; needs the study's `acknowledge`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDataset(DatasetRecipe):
    """Plain text, cut into chunks that are trained on whole: no prompt, every token scored."""

    text: str
    """Path of a UTF-8 text file, or `classics_en` for the public-domain corpus of the data directory."""
    chunk_characters: int = 512
    """Length of a chunk, >= 16."""


AnyDataset = (
    GeneratedDataset | TofuDataset | Gsm8kDataset | InstructSkillmixDataset | InstructMixDataset | RefusalsDataset
    | JsonlDataset | TextDataset
)  # fmt: skip

DATASET_KINDS: dict[str, type[DatasetRecipe]] = {
    "generated": GeneratedDataset,
    "tofu": TofuDataset,
    "gsm8k": Gsm8kDataset,
    "instruct_skillmix": InstructSkillmixDataset,
    "instruct_mix": InstructMixDataset,
    "refusals": RefusalsDataset,
    "jsonl": JsonlDataset,
    "text": TextDataset,
}
"""First field's name -> kind: the explicit list of data sets; a new one adds its line here."""


def kind_of(recipe: DatasetRecipe) -> str:
    """Return the kind's name: the first field's name of its YAML form."""
    return next(name for name, kind in DATASET_KINDS.items() if type(recipe) is kind)
