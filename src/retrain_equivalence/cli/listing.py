"""`list`: what can be named in a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from retrain_equivalence.cli import options

Kind = Literal[
    "objectives", "procedures", "datasets", "models", "probes", "orderings", "contrasts", "studies", "distances"
]

UNKNOWN = "as its parameters say"
"""Of an objective that cannot be asked before a parameter without a default is given."""


def listing(
    kind: Annotated[Kind, typer.Argument(help="What to list.")] = "studies",
    plugins: options.Plugins = None,
    as_json: options.AsJson = False,
) -> None:
    """List objectives, steps of procedures, data sets, models, probes, orderings, contrasts, distances or studies."""
    from retrain_equivalence.cli import common

    entries = _entries(kind, tuple(plugins or ()))
    if as_json:
        common.print_json(entries)
        return
    from rich.table import Column, Table

    columns = list(next(iter(entries.values()), {"": ""}))
    table = Table(Column("name", no_wrap=True), *columns)
    for name, entry in entries.items():
        table.add_row(name, *(str(entry[column]) for column in columns))
    common.answer().print(table)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _entries(kind: Kind, plugins: tuple[Path, ...]) -> dict[str, dict[str, str]]:
    match kind:
        case "objectives":
            return _objectives(plugins)
        case "procedures":
            from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, WeightEdit

            steps = {
                "phase": ("{objective: nll, max_steps: 10}", Phase),
                "task_vector": ("{task_vector: 1.0}", WeightEdit),
                "replay": ("{replay: since_forget}", ReplayFrom),
            }
            return {name: {"what": _first_line(k.__doc__), "a step": yaml} for name, (yaml, k) in steps.items()}
        case "datasets":
            from retrain_equivalence.recipes.dataset import DATASET_KINDS

            return {name: {"what": _first_line(k.__doc__)} for name, k in DATASET_KINDS.items()}
        case "models":
            from retrain_equivalence.models.directory import MODEL_TYPES
            from retrain_equivalence.models.tiny import SIZES
            from retrain_equivalence.recipes.model import MODEL_KINDS

            allowed = {"tiny": ", ".join(SIZES)}
            types = ", ".join(MODEL_TYPES)
            return {
                name: {"what": _first_line(k.__doc__), "sizes or model types": allowed.get(name, types)}
                for name, k in MODEL_KINDS.items()
            }
        case "probes":
            from retrain_equivalence.recipes.probe import PROBE_KINDS

            return {name: {"what": _first_line(k.__doc__)} for name, k in PROBE_KINDS.items()}
        case "orderings":
            from retrain_equivalence.histories.orders import ORDERINGS, placebo_of

            listed = {name: {"what": _first_line(f.__doc__)} for name, f in ORDERINGS.items()}
            return listed | {"placebo": {"what": _first_line(placebo_of.__doc__)}}
        case "contrasts":
            from retrain_equivalence.study.study import CONTRASTS

            return {name: {"what": what} for name, what in CONTRASTS.items()}
        case "distances":
            from retrain_equivalence.metrics.catalogue import CARDS

            return {
                name: {"level": card.level, "what": card.what, "unit": card.unit, "range": card.range}
                for name, card in CARDS.items()
            }
        case _:
            from retrain_equivalence.study.bundled import BUNDLED
            from retrain_equivalence.study.load import load_study

            return {name: {"question": load_study(name).question} for name in BUNDLED}


def _objectives(plugins: tuple[Path, ...]) -> dict[str, dict[str, str]]:
    from retrain_equivalence.objectives.card import card_of
    from retrain_equivalence.objectives.catalogue import entries, load_plugins

    load_plugins(plugins)
    listed = {}
    for name, entry in entries().items():
        card = card_of(entry.kind)
        listed[name] = {
            "what": card.what,
            "needs": UNKNOWN if card.needs is None else ", ".join(card.needs.names()),
            "local": UNKNOWN if card.needs is None else "yes" if card.needs.is_local else "no",
            "defaults": card.defaults,
            "passes per step": UNKNOWN if card.cost is None else str(card.cost),
            "source": card.cited,
            "also called": "; ".join(card.also_called),
        }
    return listed
