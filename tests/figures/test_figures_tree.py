from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import permutations

import pytest

from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.tree import BASE, FORGET, RETAIN, Node, layout, tree_chart


def tree(orders: list[tuple[str, ...]]) -> list[Node]:
    nodes = {(): Node(path=(), kind=BASE)}
    for order in orders:
        for length in range(1, len(order) + 1):
            path = order[:length]
            nodes[path] = Node(path=path, kind=FORGET if path[-1] == "u" else RETAIN, oracle=path == ("a", "b"))
    return list(nodes.values())


def test_parents_stand_in_the_middle_of_their_children() -> None:
    placed = {p.node.path: p for p in layout(tree([("u", "a", "b"), ("a", "u", "b"), ("a", "b", "u")]))}
    assert [placed[path].y for path in (("u", "a", "b"), ("a", "u", "b"), ("a", "b", "u"))] == [0, 1, 2]
    assert placed[("a",)].y == 1.5 and placed[()].y == 0.75 and placed[("a",)].x == 1


def test_edges_never_cross() -> None:
    placed = layout(tree(list(permutations("uabc"))))
    for depth in range(1, 5):
        nodes = sorted((p for p in placed if p.x == depth), key=lambda p: p.y)
        parents = {p.node.path: p.y for p in placed if p.x == depth - 1}
        heights = [parents[p.node.path[:-1]] for p in nodes]
        assert heights == sorted(heights) and len({p.y for p in nodes}) == len(nodes)


def test_all_orders_of_four_stages_are_sixty_four_trainings() -> None:
    nodes = tree(list(permutations("uabc")))
    assert len(nodes) == 65
    root = ET.fromstring(to_svg(tree_chart(nodes), name="t", label="l"))
    assert sum(1 for e in root.iter() if e.text in ("u", "a", "b", "c")) == 64


def test_all_orders_with_names_and_oracles_stay_a_small_drawing() -> None:
    nodes = [
        replace(node, oracle="u" not in node.path and len(node.path) == 3, note="H1" if len(node.path) == 4 else "")
        for node in tree(list(permutations("uabc")))
    ]
    root = ET.fromstring(to_svg(tree_chart(nodes), name="t", label="l"))
    assert sum(node.oracle for node in nodes) == 6
    assert len(list(root.iter())) <= 200
    assert sum(1 for e in root.iter() if e.text and e.text.endswith(": H1")) == 24


def test_a_long_name_of_a_leaf_is_not_cut() -> None:
    nodes = [Node(path=(), kind=BASE), Node(path=("instructions-of-many",), kind=RETAIN, note="placebo 2~1")]
    root = ET.fromstring(to_svg(tree_chart(nodes), name="t", label="l"))
    # Arial at 12 px is 5.6 px a letter on average; the text starts 15 px right of the leaf.
    assert float(root.get("width", "0")) > 150 + 15 + 5.6 * len("instructions-of-many: placebo 2~1")


def test_a_node_without_its_parent_is_refused() -> None:
    with pytest.raises(ValueError, match="parent"):
        layout([Node(path=(), kind=BASE), Node(path=("a", "b"), kind=RETAIN)])


def test_the_base_model_alone_is_a_tree() -> None:
    assert to_svg(tree_chart([Node(path=(), kind=BASE, oracle=True)]), name="t", label="l").startswith("<svg")
