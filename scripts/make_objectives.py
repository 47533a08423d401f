#!/usr/bin/env python3
"""Write docs/objectives.md, the page that helps to choose an objective, from the objectives themselves.

    python scripts/make_objectives.py            writes the page
    python scripts/make_objectives.py --check    writes nothing; exit 1 if the page is not what would be written

Formula, source and deviations are the docstring's, needs and cost follow from the declared passes, parameters from the
fields and the docstrings beneath them. `tests/docs/test_docs_objectives.py` compares the page.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from make_reference import default_words, field_docs, first_paragraph

from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, Unlearning, WeightEdit
from retrain_equivalence.objectives.card import Card, card_of, source_of
from retrain_equivalence.objectives.catalogue import OBJECTIVES, Kind, resolve
from retrain_equivalence.objectives.cost import Cost, cost_of
from retrain_equivalence.objectives.procedure_needs import needs_of
from retrain_equivalence.recipes.passes import Needs
from retrain_equivalence.recipes.training import TrainingRecipe

PAGE = Path(__file__).resolve().parents[1] / "docs" / "objectives.md"

NEED_WORDS = {
    "forget": "forget rows",
    "reference": "the start model",
    "teacher": "the base model",
    "retain": "retain rows",
    "preferred": "other answers to the forget prompts",
    "hidden": "hidden states",
    "history": "the history",
}
"""A need's name -> its words in running text."""

HEAD = """# Objectives: what a method needs, does and costs

Written by `scripts/make_objectives.py` from the package; `retrain-equivalence list objectives` prints the short form.

Choose by what you may use first, since no setting makes up for data that you do not have; then by the formula; then by
cost. With forget rows alone, and with a copy of the start model, a method is *local*: it sees gradients on the forget
set only, and what that can and cannot reach is the subject of [the theory](theory.md). Retain rows, other answers, the
base model, or the history make it non-local. Hidden states are data of the model itself, but the model can then be no
black box. What each method did in a study stands in that study's report; predictions of whether a method lets
histories part or brings them together stand in [the theory](theory.md).

Needs and cost are derived from the forward passes that an objective declares, and a test swaps everything that is not
declared and sees that nothing moves. *Passes* are counted per row of the batch and optimizer step; token
log-probabilities of the start model are computed *once* per row of the data before the first step. *Local* is meant as
in Yu et al. 2025, Definition 2.2; the start model is the history's own end model, the base model is the one that all
histories of a replicate were trained from. Objectives are added up by `weighted_sum`, see [studies](studies.md)."""

PROCEDURES = """## Procedures

A procedure is a list of steps; an objective alone is a procedure of one phase. What it needs is the union over its
steps; what a step costs at most is the dearest of its phases'."""


def need_words(needs: Needs) -> str:
    """Return what is needed in running text: `forget rows, retain rows and hidden states`."""
    *most, last = (NEED_WORDS[name] for name in needs.names())
    return f"{', '.join(most)} and {last}" if most else last


def heading(needs: Needs) -> str:
    """Return the heading of a group."""
    return f"Needs {need_words(needs)}" + (" alone" if needs == Needs() else "")


def variants(kind: Kind, card: Card) -> list[str]:
    """Return a sentence for each named value of a text parameter under which needs or cost are others.

    The values are those that stand between backticks in the parameter's docstring; the class refuses what is none.
    """
    docs, said = field_docs(kind), []
    for parameter in card.parameters:
        for value in re.findall(r"`(\w+)`", docs[parameter.name]) if parameter.type == "str" else ():
            try:
                other = card_of(kind, {parameter.name: value})
            except ValueError:
                continue
            if other.needs is not None and (other.needs, other.cost) != (card.needs, card.cost):
                said.append(f"with `{parameter.name}: {value}`, {need_words(other.needs)}; {other.cost}")
    return said


REPLAYED = "none of its own; whole stages are trained again"


def fold(needs: Needs | None, cost: Cost | str | None, more: list[str]) -> list[str]:
    """Return the lines on needs and cost."""
    if needs is None or cost is None:
        return ["- **needs and passes per step**: as its parameters say"]
    lines = [
        f"- **needs**: {need_words(needs)}; {'local' if needs.is_local else 'not local'}",
        f"- **passes per step**: {cost}",
    ]
    return lines + [f"- **otherwise**: {sentence}" for sentence in more]


def section(kind: Kind) -> str:
    """Return one objective's section."""
    card, docs = card_of(kind), field_docs(kind)
    if not card.formula or not card.source:
        raise SystemExit(f"{kind.__name__}: the docstring has no paragraph that starts with the formula, or no Source")
    lines = [f"### `{card.name}`", "", card.what, "", card.formula, ""]
    lines += fold(card.needs, card.cost, variants(kind, card))
    for f in card.parameters:
        default = default_words(f)
        lines.append(f"- **`{f.name}`** ({default if default == 'required' else 'default ' + default}): {docs[f.name]}")
    if card.also_called:
        lines.append(f"- **also called**: {'; '.join(card.also_called)}")
    lines += [f"- **cite**: {card.cited} (`{card.cite_key}`)", "", f"*Source and deviations.* {card.source}"]
    return "\n".join(lines)


def procedures() -> str:
    """Return the sections of what can be done beside losses, from the docstrings of the steps."""
    training = TrainingRecipe(learning_rate=1e-3, max_steps=1)
    nll, ga = (Phase(objective=resolve(name, {}, ""), training=training) for name in ("nll", "ga"))
    listed: list[tuple[str, type, str, Unlearning]] = [
        ("one phase after another, such as relearn-first", Phase, "procedure: [{objective: nll, max_steps: 10}, "
         "{objective: ga}]", Unlearning(name="relearn", procedure=(nll, ga))),
        ("task vector", WeightEdit, "procedure: [{objective: nll, max_steps: 20}, {task_vector: 1.0}]",
         Unlearning(name="edit", procedure=(nll, WeightEdit(task_vector=1.0)))),
        ("rewind and replay", ReplayFrom, "procedure: [{replay: since_forget}]",
         Unlearning(name="replay", procedure=(ReplayFrom(replay="since_forget"),))),
    ]  # fmt: skip
    sections = [PROCEDURES]
    for title, step, yaml, example in listed:
        text = inspect.getdoc(step) or ""
        body = [" ".join(paragraph.split()) for paragraph in text.partition("Source:")[0].strip().split("\n\n")]
        lines = [f"### {title[0].upper()}{title[1:]}", "", *"\n\n".join(body).split("\n"), "", f"`{yaml}`", ""]
        lines += fold(needs_of(example), cost_of(example) if example.phases else REPLAYED, [])
        docs = field_docs(step)
        lines += [f"- **`{name}`**: {meaning}" for name, meaning in docs.items()]
        if source := source_of(text):
            lines += ["", f"*Source and deviations.* {source}"]
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def page() -> str:
    """Return the whole page."""
    groups: dict[Needs | None, list[Kind]] = {}
    for kind in OBJECTIVES.values():
        groups.setdefault(card_of(kind).needs, []).append(kind)
    order = sorted(groups, key=lambda needs: (needs is None, needs and (not needs.is_local, len(needs.names()))))
    parts, table = [], ["| needs | objectives |", "|---|---|"]
    for needs in order:
        title = "Needs what its parameters say" if needs is None else heading(needs)
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        names = ", ".join(f"[`{kind.name}`](#{kind.name})" for kind in groups[needs])
        local = "" if needs is None else ", local" if needs.is_local else ""
        table.append(f"| [{title.removeprefix('Needs ')}](#{anchor}){local} | {names} |")
        rows = ["| objective | what it is | passes per step | source |", "|---|---|---|---|"]
        for kind in groups[needs]:
            card = card_of(kind)
            what = card.what.replace("|", r"\|")
            rows.append(f"| [`{card.name}`](#{card.name}) | {what} | {card.cost or ''} | {card.cited} |")
        parts += [f"## {title}", "\n".join(rows), *map(section, groups[needs])]
    table.append(f"| [several steps, weight edits, replays](#procedures) | {first_paragraph(Unlearning)} |")
    return "\n\n".join([HEAD, "\n".join(table), *parts, procedures()]) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or check it; return the exit code."""
    text = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in arguments:
        print(f"docs/{PAGE.name} is not up to date. Fix: python scripts/make_objectives.py", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"docs/{PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
