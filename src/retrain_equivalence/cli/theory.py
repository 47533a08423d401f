"""`theory`: one subcommand per question about linear and small worlds; none of them touches a model or a store.

A subcommand's options are the arguments of its `answer` function, with the words of that function's docstring: they
cannot drift apart. Questions are imported when they are asked, so that other verbs do not wait for scipy.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from retrain_equivalence.cli import options

if TYPE_CHECKING:
    from retrain_equivalence.theory.answer import Answer

QUESTIONS: dict[str, str] = {
    "linear": "From which step does the theorem say that two orders part, and when do they?",
    "scaling": "How does the theorem's t0 grow with step size, penalty and sizes?",
    "stopping": "What does one stopping step for all histories cost?",
    "matched": "What is left of the gap at equal forgetting?",
    "floor": "How near to retraining can any local method come?",
    "forgetting": "How much of a forget stage do later stages leave?",
    "distributions": "Do distributional versions of equivalence see the order?",
    "regimes": "Which methods expand, freeze or contract the gap?",
    "retain": "Does a retain term stop the expansion?",
    "speed": "What becomes of the gap beyond squared loss?",
    "departures": "Which optimizers keep the frozen part frozen?",
    "methods": "What is predicted for each method, and with which rate?",
    "digits": "What is left of it for classifiers of real digits?",
    "removal": "What do certified removal and rewinding reach?",
    "forging": "How does one-to-many differ from forging's many-to-one?",
    "ordering": "Does the order of batches reach the later unlearning?",
    "privacy": "Does per-instance privacy loss predict forgetting?",
    "bracket": "Does the Lie bracket of two stages predict which order forgets faster?",
}
"""Subcommands and what they ask, in the order of the story in `docs/theory.md`."""

ALL = "all"
_LEAST = {"seeds": 1, "seed": 0}
_ARGUMENT = re.compile(r"^\s{8}(\w+): (.+(?:\n\s{12,}.+)*)", re.MULTILINE)

Page = Annotated[
    Path | None, typer.Option("--page", help="Also write a page with the figures here.", show_default=False)
]


class Questions(TyperGroup):
    """The group of questions; each becomes a command when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in order."""
        return [*QUESTIONS, ALL]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a question, or None."""
        if cmd_name not in (*QUESTIONS, ALL):
            return None
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        if cmd_name == ALL:
            alone.command(ALL)(_everything)
        else:
            alone.command(cmd_name, help=QUESTIONS[cmd_name])(_command(cmd_name))
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=Questions,
    name="theory",
    help="Ask the theory: exact answers in linear and small worlds, in seconds.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Ask the theory: exact answers in linear and small worlds, in seconds."""


def _command(name: str) -> Callable[..., None]:
    """Return the function behind one subcommand, with the options of its question."""
    ask = _asked(name)
    told = dict(_ARGUMENT.findall(ask.__doc__ or ""))
    parameters = [
        inspect.Parameter(
            parameter.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=parameter.default,
            annotation=Annotated[
                type(parameter.default),
                typer.Option(
                    "--" + parameter.name.replace("_", "-"),
                    help=re.sub(r"\s+", " ", told.get(parameter.name, "")).strip(),
                    min=_LEAST.get(parameter.name),
                ),
            ],
        )
        for parameter in inspect.signature(ask).parameters.values()
    ]
    parameters += [
        inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=options.AsJson),
        inspect.Parameter("page", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Page),
    ]

    def command(**given: Any) -> None:
        as_json, page = given.pop("as_json"), given.pop("page")
        _show([ask(**given)], as_json=as_json, page=page)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _everything(
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many worlds for each question.")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the first world.")] = 0,
    as_json: options.AsJson = False,
    page: Page = None,
) -> None:
    """All of them at their defaults: a minute or two."""
    from retrain_equivalence.cli import common

    answers = []
    for name in QUESTIONS:
        common.people().print(f"theory {name}")
        answers.append(_asked(name)(seeds=seeds, seed=seed))
    _show(answers, as_json=as_json, page=page)


def _asked(name: str) -> Callable[..., Answer]:
    # Matrices here are small: threads of the linear algebra cost more than they bring, most of all on a busy machine.
    # Numpy reads these once, when it is loaded.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    asked: Callable[..., Answer] = import_module(f"retrain_equivalence.theory.questions.{name}").answer
    return asked


def _show(answers: list[Answer], *, as_json: bool, page: Path | None) -> None:
    from retrain_equivalence.cli import common

    if page is not None:
        from retrain_equivalence.theory.page import write

        write(answers, page)
    if as_json:
        documents = [
            {"question": a.question, "name": a.name, "says": list(a.says), "settings": dict(a.settings),
             "numbers": dict(a.numbers)}
            for a in answers
        ]  # fmt: skip
        common.print_json(documents[0] if len(documents) == 1 else documents)
    else:
        _print(answers)
    if page is not None:
        common.people().print(f"Page  {page}", soft_wrap=True)


def _print(answers: list[Answer]) -> None:
    from rich.table import Table
    from rich.text import Text

    from retrain_equivalence.cli import common

    out = common.answer()
    for answer in answers:
        out.print(Text(answer.question), style="bold")
        for sentence in answer.says:
            out.print(Text(sentence))
        for table in answer.tables:
            shown = Table(title=Text(table.caption), title_justify="left", title_style="")
            for head, numeric in zip(table.heads, table.numeric, strict=True):
                shown.add_column(Text(head), justify="right" if numeric else "left")
            for row in table.rows:
                shown.add_row(*(Text(cell) for cell in row))
            out.print()
            out.print(shown)
        out.print()
