"""What there is to know about an objective before choosing it, read from its class: nothing is written down twice.

`list objectives` and docs/objectives.md are made from cards. Needs and cost come from the declared passes, formula and
source from the docstring, the short citation from the BibTeX entry. Torch-free.

    Kind ──► card_of ──► Card(what, formula, source, needs, cost, parameters, cited, cite_key, also_called)
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from itertools import takewhile
from typing import Any, cast

from retrain_equivalence.objectives.catalogue import Kind
from retrain_equivalence.objectives.cost import Cost, cost_of_passes
from retrain_equivalence.objectives.weighted_sum import Composition
from retrain_equivalence.recipes.passes import ForwardPass, Needs

HEADING = re.compile(r"[A-Z][^`.]*(`\w+`)?:$")
"""The first line of a docstring's section: `Args of `__call__`:`, `Source:`."""

EXAMPLES: dict[str, float | int | str | bool] = {"float": 1.0, "int": 1, "str": "", "bool": False}
"""A value for a parameter that has no default, by its type, to ask an instance for its passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One objective or composition in words and counts; of a part that a parameter decides, at the defaults."""

    name: str
    """The name in a study file."""
    what: str
    """First paragraph of the docstring, on one line."""
    formula: str
    """The docstring's paragraph that starts with the formula, on one line; empty if it has none."""
    source: str
    """The docstring's section on the source, with every deviation, on one line; empty if it has none."""
    needs: Needs | None
    """Null if a parameter without a default decides and no plain value of its type is accepted."""
    cost: Cost | None
    """Of one optimizer step; null as above."""
    parameters: tuple[Field[Any], ...]
    """In the class's order."""
    cited: str
    """First author and year, `Zhang et al. 2024`; the entry's key if it lacks them."""
    cite_key: str
    """Key of the BibTeX entry; empty if there is no entry."""
    also_called: tuple[str, ...]
    """Names under which others know it."""

    @property
    def defaults(self) -> str:
        """Return the parameters as `beta=0.1, layer`: one that a study must give has no default."""
        return ", ".join(f.name if f.default is MISSING else f"{f.name}={f.default}" for f in self.parameters)


def card_of(kind: Kind, given: Mapping[str, float | int | str | bool] | None = None) -> Card:
    """Return the card of an objective's class, its needs and cost at the defaults.

    Args:
        kind: the class.
        given: values of parameters that may change needs and cost, in place of the defaults.

    Raises:
        ValueError: if the class refuses a given value.

    >>> from retrain_equivalence.objectives.npo import NPO
    >>> card = card_of(NPO)
    >>> card.cited, card.cite_key, card.defaults, str(card.cost)
    ('Zhang et al. 2024', 'zhang2024negative', 'beta=0.1', '1 forward, 1 backward; once 1 forward')
    """
    passes = _passes(kind, given or {})
    text = inspect.getdoc(kind) or ""
    return Card(
        name=kind.name,
        what=_one_line(text.partition("\n\n")[0]),
        formula=formula_of(text),
        source=source_of(text),
        needs=None if passes is None else Needs.of(passes),
        cost=None if passes is None else cost_of_passes(passes),
        parameters=fields(cast("Any", kind)),
        cited=cited_as(kind.cite),
        cite_key=_key(kind.cite),
        also_called=tuple(getattr(kind, "also_called", ())),
    )


def _passes(kind: Kind, given: Mapping[str, float | int | str | bool]) -> tuple[ForwardPass, ...] | None:
    """Return the passes of a class, or None if no instance can be made without knowing more."""
    declared = getattr(kind, "passes", None)
    if isinstance(declared, tuple):
        return declared
    required = [
        f for f in fields(cast("Any", kind)) if f.default is MISSING and f.default_factory is MISSING
        and f.name not in given
    ]  # fmt: skip
    if any(f.type not in EXAMPLES for f in required):
        return None
    try:
        made = kind(**{f.name: EXAMPLES[str(f.type)] for f in required}, **given)
        return tuple((made.composed() if isinstance(made, Composition) else made).passes)
    except ValueError:
        if given or not required:
            raise
        return None  # the class says that an example is no value of its parameter


def formula_of(docstring: str) -> str:
    """Return the formula's paragraph on one line: the first after the meaning that starts with a backtick.

    Sections end the search; empty if there is none.

    >>> formula_of("Ascent.\\n\\n`L = -x`,\\nx a number.\\n\\nSource:\\n    None.")
    '`L = -x`, x a number.'
    """
    before = takewhile(lambda paragraph: not _starts_section(paragraph), docstring.split("\n\n")[1:])
    return next((_one_line(paragraph) for paragraph in before if paragraph.startswith("`")), "")


def source_of(docstring: str) -> str:
    """Return the section on the source, whether it stands below its heading or beside it; empty if there is none.

    >>> source_of("Ascent.\\n\\nSource:\\n    Jang et al. 2023.\\n    Deviations: none.\\n\\nOne token.")
    'Jang et al. 2023. Deviations: none.'
    >>> source_of("Ascent.\\n\\nSource: a test.\\n\\n>>> 1\\n1")
    'a test.'
    """
    return _one_line("\n".join(_source_lines(docstring)))


def _source_lines(docstring: str) -> Iterator[str]:
    lines = iter(docstring.splitlines())
    for line in lines:
        if line.startswith("Source:"):
            beside = line.removeprefix("Source:").strip()
            if beside:
                yield beside
                yield from takewhile(str.strip, lines)
            else:
                yield from takewhile(lambda below: not below.strip() or below.startswith(" "), lines)
            return


def _starts_section(paragraph: str) -> bool:
    first = paragraph.partition("\n")[0]
    return bool(HEADING.match(first)) or first.startswith((">>>", "Source:"))


def cited_as(entry: str) -> str:
    """Return first author and year of a BibTeX entry, or its key if one of the two is missing.

    >>> cited_as("@misc{a, title = {T}, author = {Jang, Joel and Seo, Minjoon}, year = {2023}}")
    'Jang and Seo 2023'
    >>> cited_as("@misc{openunlearning, title = {open-unlearning}, year = {2025}}")
    'openunlearning'
    """
    authors, year = bibtex_field(entry, "author"), bibtex_field(entry, "year")
    if not authors or not year:
        return _key(entry)
    surnames = [name.partition(",")[0].strip() for name in re.split(r"\s+and\s+", authors)]
    match surnames:
        case [one]:
            who = one
        case [one, two] if two != "others":
            who = f"{one} and {two}"
        case _:
            who = f"{surnames[0]} et al."
    return f"{who} {year}"


def bibtex_field(entry: str, name: str) -> str:
    """Return a braced field of a BibTeX entry on one line, without braces and backslashes; empty if there is none."""
    found = re.search(rf"\b{name}\s*=\s*\{{", entry)
    if found is None:
        return ""
    depth, end = 1, found.end()
    while depth and end < len(entry):
        depth += {"{": 1, "}": -1}.get(entry[end], 0)
        end += 1
    return _one_line(re.sub(r"[{}\\]", "", entry[found.end() : end]))


def _key(entry: str) -> str:
    found = re.match(r"\s*@\w+\{\s*([^,\s]+)", entry)
    return found[1] if found else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
