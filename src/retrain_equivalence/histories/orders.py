"""Orderings: functions from a study's stages to its histories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations

from retrain_equivalence.histories.history import History, Role, Stage
from retrain_equivalence.recipes.dataset import AnyDataset


def _forget_of(stages: Sequence[Stage]) -> Stage:
    return next(stage for stage in stages if stage.role is Role.FORGET)


def forget_at_position(stages: Sequence[Stage], position: int) -> History:
    """The forget stage inserted at 1-based `position` into the others, which keep their order (the paper's p)."""
    forget = _forget_of(stages)
    others = [stage for stage in stages if stage is not forget]
    return History(stages=(*others[: position - 1], forget, *others[position - 1 :]))


def forget_at_each_position(stages: Sequence[Stage]) -> tuple[History, ...]:
    """The paper's design: k histories of k stages, p = 1..k; all of them share one retrain oracle."""
    return tuple(forget_at_position(stages, position) for position in range(1, len(stages) + 1))


def all_orders(stages: Sequence[Stage]) -> tuple[History, ...]:
    """All k! orders, the order of the file first."""
    return tuple(History(stages=order) for order in permutations(stages))


def adjacent_swaps(stages: Sequence[Stage]) -> tuple[History, ...]:
    """The order of the file, and each order that differs from it by one swap of neighbours: k histories."""
    orders = [tuple(stages)]
    for i in range(len(stages) - 1):
        orders.append((*stages[:i], stages[i + 1], stages[i], *stages[i + 2 :]))
    return tuple(History(stages=order) for order in orders)


def shuffle_only(stages: Sequence[Stage]) -> tuple[History, ...]:
    """The control: the order of the file under two sample orders; nothing else differs."""
    return (History(stages=tuple(stages)), History(stages=tuple(stages), shuffle=1))


def placebo_of(history: History, dataset: AnyDataset) -> History:
    """The same history with the forget stage replaced by an unrelated one, trained in the same way.

    It separates having had an *extra stage* from having seen *this content*.
    """

    def replaced(stage: Stage) -> Stage:
        return (
            replace(stage, name="placebo", dataset=dataset, role=Role.PLACEBO) if stage.role is Role.FORGET else stage
        )

    return replace(history, stages=tuple(replaced(stage) for stage in history.stages))


ORDERINGS: dict[str, Callable[[Sequence[Stage]], tuple[History, ...]]] = {
    "forget_at_each_position": forget_at_each_position,
    "all_orders": all_orders,
    "adjacent_swaps": adjacent_swaps,
    "shuffle_only": shuffle_only,
}
"""The names a study may give; explicit lists of stage names are the other form."""
