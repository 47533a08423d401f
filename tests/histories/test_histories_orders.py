"""Histories as values: orders, oracles, controls, and what the prefix tree saves."""

from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.histories.history import History, Role, Stage
from retrain_equivalence.histories.orders import (
    ORDERINGS,
    adjacent_swaps,
    all_orders,
    forget_at_each_position,
    forget_at_position,
    placebo_of,
    shuffle_only,
)
from retrain_equivalence.histories.prefix_tree import PrefixTree, Saving
from retrain_equivalence.recipes.dataset import GeneratedDataset
from retrain_equivalence.recipes.training import TrainingRecipe

TRAINING = TrainingRecipe(learning_rate=1e-3, num_train_epochs=1)


def stage(name: str, role: Role = Role.RETAIN, seed: int | None = None) -> Stage:
    data = GeneratedDataset(generated="authors", seed=hash_of(name) if seed is None else seed)
    return Stage(name=name, dataset=data, training=TRAINING, role=role)


def hash_of(name: str) -> int:
    return sum(map(ord, name))


STAGES = (stage("a"), stage("b"), stage("c"), stage("F", Role.FORGET))


def names(histories: tuple[History, ...]) -> list[str]:
    return [history.name for history in histories]


def with_oracles(histories: tuple[History, ...]) -> tuple[History, ...]:
    return (*histories, *dict.fromkeys(history.oracle() for history in histories))


def test_the_forget_stage_stands_at_each_position_and_the_others_keep_their_order() -> None:
    histories = forget_at_each_position(STAGES)
    assert names(histories) == ["F>a>b>c", "a>F>b>c", "a>b>F>c", "a>b>c>F"]
    assert [history.position() for history in histories] == [1, 2, 3, 4]
    assert {history.oracle().name for history in histories} == {"a>b>c"}
    assert forget_at_position(STAGES[::-1], 2).name == "c>F>b>a"


def test_four_positions_share_thirteen_trainings_and_contain_their_oracle() -> None:
    histories = forget_at_each_position(STAGES)
    assert PrefixTree.of(with_oracles(histories)).saving() == Saving(shared=13, naive=16 + 3)
    assert PrefixTree.of(histories).saving().shared == 13


def test_all_orders_share_64_trainings_and_their_oracles_add_none() -> None:
    histories = all_orders(STAGES)
    assert len(set(names(histories))) == 24
    assert histories[0].name == "a>b>c>F"
    assert PrefixTree.of(histories).saving() == Saving(shared=64, naive=96)
    assert len({history.oracle() for history in histories}) == 6
    assert PrefixTree.of(with_oracles(histories)).saving().shared == 64


def test_adjacent_swaps() -> None:
    assert names(adjacent_swaps(STAGES)) == ["a>b>c>F", "b>a>c>F", "a>c>b>F", "a>b>F>c"]


def test_shuffle_only_moves_the_sample_order_and_nothing_else() -> None:
    own, control = shuffle_only(STAGES)
    assert (own.name, control.name) == ("a>b>c>F", "a>b>c>F~1")
    assert own.stages == control.stages
    assert control.oracle() == own.oracle() == History(stages=STAGES[:3])
    assert PrefixTree.of((own, control)).saving() == Saving(shared=8, naive=8)


def test_a_placebo_takes_the_forget_stage_s_place_and_training() -> None:
    other = GeneratedDataset(generated="arithmetic", rows=7)
    history = forget_at_position(STAGES, 2)
    placebo = placebo_of(history, other)
    assert placebo.name == "a>placebo>b>c"
    assert placebo.stages[1] == replace(STAGES[3], name="placebo", dataset=other, role=Role.PLACEBO)
    assert placebo.position() is None
    assert placebo.oracle() == history.oracle()
    assert placebo.stages[:1] + placebo.stages[2:] == history.oracle().stages


def test_the_orderings_that_a_study_may_name() -> None:
    assert set(ORDERINGS) == {"forget_at_each_position", "all_orders", "adjacent_swaps", "shuffle_only"}
    assert [len(order(STAGES)) for order in ORDERINGS.values()] == [4, 24, 4, 2]


@given(st.permutations(STAGES), st.integers(0, 3))
def test_an_oracle_is_the_same_order_without_the_forget_stage(order: list[Stage], shuffle: int) -> None:
    history = History(stages=tuple(order), shuffle=shuffle)
    oracle = history.oracle()
    assert [s.name for s in oracle.stages] == [s.name for s in order if s.name != "F"]
    assert oracle.shuffle == 0
    assert oracle.oracle() == oracle
    assert (history.position(), oracle.position()) == (order.index(STAGES[3]) + 1, None)
    prefixes = history.prefixes()
    assert [len(prefix.stages) for prefix in prefixes] == [1, 2, 3, 4]
    assert prefixes[-1] == history
    assert all(prefix.stages == history.stages[: len(prefix.stages)] for prefix in prefixes)


@given(st.lists(st.sampled_from(list(permutations(STAGES))), min_size=1, max_size=8))
def test_a_tree_holds_each_prefix_once_and_parents_first(orders: list[tuple[Stage, ...]]) -> None:
    tree = PrefixTree.of(History(stages=order) for order in orders)
    assert len(set(tree.nodes)) == len(tree.nodes)
    assert set(tree.nodes) == {prefix for order in orders for prefix in History(stages=order).prefixes()}
    seen: set[History] = set()
    for node in tree.nodes:
        parent = History(stages=node.stages[:-1])
        assert not parent.stages or parent in seen
        seen.add(node)


def test_equal_names_with_other_data_or_training_are_different_nodes() -> None:
    a = stage("a")
    others = [a, stage("a", seed=99), replace(a, training=replace(TRAINING, learning_rate=2e-3))]
    assert PrefixTree.of(History(stages=(other,)) for other in others).saving().shared == 3


def test_the_base_has_a_name_and_no_prefix() -> None:
    base = History(stages=())
    assert (base.name, base.prefixes(), base.position()) == ("(base)", (), None)
    assert PrefixTree.of([base]).saving() == Saving(shared=0, naive=0)
    only_forget = History(stages=(STAGES[3],))
    assert only_forget.oracle() == base
