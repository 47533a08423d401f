"""Keys of a study's tasks: everything that can move a bit enters here, and nothing that cannot.

`NUMERICS` is raised by hand whenever code that moves numbers changes; a golden trajectory in the tests polices it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from retrain_equivalence.core.identity import Key, Plain, key_of, plain

NUMERICS = 1
"""Version of the package's own arithmetic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The numeric environment: what the same recipe may give other bits under."""

    settings: Mapping[str, str | int | bool]
    """Library and Python versions, device kind and name, threads per task, dtype, deterministic settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A key with the recipe and the parents it was made from; what a manifest records."""

    key: Key
    kind: str
    recipe: Plain
    parents: tuple[Key, ...]


def name_task(kind: str, recipe: object, parents: tuple[Key, ...], environment: Environment) -> Named:
    """Return the key of a task from its recipe, its parents and the numeric environment."""
    parents = tuple(dict.fromkeys(parents))  # a first stage's parent is its base: one object, listed once
    whole: Plain = {"recipe": plain(recipe), "environment": plain(environment), "numerics": NUMERICS}
    return Named(key=key_of(kind, whole, parents), kind=kind, recipe=whole, parents=parents)
