"""Refusals, written by templates, to prompts of a safety set.

The prompts are sensitive: they stand in no message, no report and no cluster name. Only refusals are ever trained.
Model answers that some of these sets carry are not read at all.

Sources: `prompts` is the data directory's own selection (do-not-answer, HarmfulQA, AART); the others are hub sets.
SORRY-Bench is gated. As in the path-dependence paper (Yu et al. 2025), five of its prompt styles are left out; both
`caesar` and the paper's own spelling `ceasar` are recognised, so the filter acts as described and not as released.
Deviation: the paper's refusals were written by GPT-4o, ours by templates.
"""

from __future__ import annotations

from retrain_equivalence.data.example import Example
from retrain_equivalence.data.hub import HubSet
from retrain_equivalence.data.loaded import Loaded
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.data.named import NamedSet, read_named
from retrain_equivalence.data.near_duplicates import near_duplicate_groups
from retrain_equivalence.data.refusals import label, refusal
from retrain_equivalence.data.row_rules import Field, RowRules
from retrain_equivalence.recipes.dataset import RefusalsDataset

LEFT_OUT = frozenset({"ascii", "atbash", "caesar", "ceasar", "morse", "misspellings"})
"""Prompt styles of SORRY-Bench that the paper leaves out."""

SETS = {
    "prompts": NamedSet(
        name="refusals: prompts",
        file="refusals/prompts.jsonl",
        licence="CC-BY-4.0 (AART) and Apache-2.0 (do-not-answer, HarmfulQA)",
        rules=RowRules(
            fields=(Field(name="id", kind="id", unique=True), Field(name="prompt")),
            ignored=("source", "license", "category"),
            strict=True,
            sensitive=True,
        ),
    ),
    "sorry_bench": NamedSet(
        name="refusals: sorry_bench",
        file="refusals/sorry_bench.jsonl",
        licence="SORRY-Bench licence (gated; not to be passed on)",
        on_hub=HubSet(
            repository="sorry-bench/sorry-bench-202503", files=("question.jsonl",), revision=None, gated=True
        ),
        rules=RowRules(
            fields=(
                Field(name="question_id", kind="id"),
                Field(name="turns", kind="turns"),
                Field(name="prompt_style"),
            ),
            sensitive=True,
        ),
    ),
    "do_not_answer": NamedSet(
        name="refusals: do_not_answer",
        file="refusals/do_not_answer.jsonl",
        licence="Apache-2.0",
        on_hub=HubSet(repository="LibrAI/do-not-answer", files=("data/*.parquet",), revision=None),
        rules=RowRules(fields=(Field(name="question"),), sensitive=True),
    ),
    "harmfulqa": NamedSet(
        name="refusals: harmfulqa",
        file="refusals/harmfulqa.jsonl",
        licence="Apache-2.0",
        on_hub=HubSet(repository="declare-lab/HarmfulQA", files=("data_for_hub.json",), revision=None),
        rules=RowRules(fields=(Field(name="question"),), sensitive=True),
    ),
}

PROMPT_FIELD = {"prompts": "prompt", "sorry_bench": "turns", "do_not_answer": "question", "harmfulqa": "question"}


def load(recipe: RefusalsDataset, where: Locations, *, place: str, sha256: str | None = None) -> Loaded:
    """Return a refusal for every prompt; clusters are prompt templates, and base questions in SORRY-Bench.

    Raises:
        InputError: for rows that are refused; messages hold no row text.
        MachineError: E-ENV-08.
    """
    part = recipe.refusals
    read = read_named(SETS[part], where, place=place, sha256=sha256)
    kept = [row for row in read.rows if row.fields.get("prompt_style") not in LEFT_OUT]
    prompts = [row.fields[PROMPT_FIELD[part]] for row in kept]
    if part == "sorry_bench":
        clusters = [f"question/{row.fields['question_id']}" for row in kept]
    else:
        clusters = near_duplicate_groups(prompts)
    rows = []
    for index, (row, prompt, cluster) in enumerate(zip(kept, prompts, clusters, strict=True)):
        identity = f"{part}/{row.fields.get('id', f'{index:04d}')}"
        rows.append(
            Example(
                id=identity,
                prompt=prompt,
                response=refusal(identity, recipe.wording),
                cluster=cluster,
                label=label(recipe.wording),
            )
        )
    places = tuple(row.place for row in kept)
    return Loaded(rows=tuple(rows), places=places, provenance=read.provenance(), sensitive=True)
