"""The prefix tree, drawn: which stage trainings were run, which were shared, and where the oracles are.

Layout: columns are the number of stages done, from the base model on the left; leaves keep their order from top to
bottom, and a node stands in the middle of its children, so edges never cross.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_equivalence.figures.chart import shown
from retrain_equivalence.figures.palette import MUTED, ORACLE, SERIES, SURFACE

if TYPE_CHECKING:
    import altair as alt

ROW, COLUMN = 30, 150
"""Pixels between leaves and between depths."""
LETTER = 6.8
"""Pixels of a letter of a label, more than most are wide."""

RETAIN, FORGET, PLACEBO, BASE = "retain stage", "forget stage", "placebo stage", "base model"
KINDS: tuple[tuple[str, str, str], ...] = (
    (BASE, MUTED.light, "square"),
    (RETAIN, SERIES[0].light, "circle"),
    (FORGET, SERIES[1].light, "diamond"),
    (PLACEBO, SERIES[3].light, "triangle-up"),
)
"""What a node can be, with its colour and shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One stage training of the tree."""

    path: tuple[str, ...]
    """Names of the stages done, in order; empty for the base model. The tree's branches are read from it."""
    kind: str
    """One of `KINDS`."""
    oracle: bool = False
    """Whether this node's model is a retrain oracle."""
    note: str = ""
    """Shown beside a leaf: the history's short name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A node and where it stands: `x` in stages done, `y` in leaves from the top."""

    node: Node
    x: int
    y: float


def layout(nodes: Iterable[Node]) -> tuple[Placed, ...]:
    """Place the nodes: leaves one below the other in first-seen order, parents in the middle of their children.

    Raises:
        ValueError: if a node's parent is missing.
    """
    by_path = {node.path: node for node in nodes}
    children: dict[tuple[str, ...], list[tuple[str, ...]]] = {path: [] for path in by_path}
    roots = []
    for path in by_path:
        if not path:
            roots.append(path)
        elif path[:-1] in children:
            children[path[:-1]].append(path)
        else:
            raise ValueError(f"the parent of {path} is not a node")
    placed: dict[tuple[str, ...], float] = {}
    n_leaves = 0

    def place(path: tuple[str, ...]) -> float:
        nonlocal n_leaves
        if not children[path]:
            placed[path] = float(n_leaves)
            n_leaves += 1
        else:
            below = [place(child) for child in children[path]]
            placed[path] = (below[0] + below[-1]) / 2
        return placed[path]

    for root in roots:
        place(root)
    return tuple(Placed(node=by_path[path], x=len(path), y=y) for path, y in placed.items())


def tree_chart(nodes: Sequence[Node]) -> alt.TopLevelMixin:
    """Draw the tree from left to right.

    Args:
        nodes: the base model and every stage training, parents anywhere before or after their children.
    """
    import altair as alt
    import pandas as pd

    placed = layout(nodes)
    where = {p.node.path: p for p in placed}
    depth = max(p.x for p in placed)
    n_leaves = max(p.y for p in placed) + 1
    # One line with gaps: an element for each edge would be a third of the drawing.
    corners = [
        corner
        for p in placed
        if p.node.path
        for corner in (*_elbow(where[p.node.path[:-1]], p), (float("nan"), float("nan")))
    ]
    edges = pd.DataFrame(corners, columns=["x", "y"]).assign(order=range(len(corners)))
    points = pd.DataFrame(
        [
            {"x": p.x, "y": p.y, "kind": p.node.kind, "oracle": p.node.oracle,
             "label": _label(p.node)}
            for p in placed
        ]
    )  # fmt: skip
    longest = max(len(label) for label, x in zip(points["label"], points["x"], strict=True) if x == depth)
    reach = 0.1 + depth + max(0.75, (20 + LETTER * longest) / COLUMN)
    x_scale = alt.Scale(domain=[-0.1, reach - 0.1], nice=False, zero=False)
    y_scale = alt.Scale(domain=[n_leaves - 0.4, -0.6], nice=False, zero=False)
    x, y = alt.X("x:Q", scale=x_scale, axis=None), alt.Y("y:Q", scale=y_scale, axis=None)
    names = [kind for kind, _, _ in KINDS]
    colour = alt.Color("kind:N", scale=alt.Scale(domain=names, range=[c for _, c, _ in KINDS]), legend=None)
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=names, range=[s for _, _, s in KINDS]), legend=None)
    rings = points.loc[points["oracle"]]
    layers = [
        alt.Chart(edges).mark_line(
            color=MUTED.light, strokeWidth=1.2, invalid="break-paths-show-path-domains").encode(
            x=x, y=y, order="order:Q"),
        alt.Chart(rings).mark_point(size=330, filled=True, fill=SURFACE.light, stroke=ORACLE.light, strokeWidth=2.2,
                                    shape="circle", opacity=1).encode(x=x, y=y),
        alt.Chart(points).mark_point(size=110, opacity=1).encode(x=x, y=y, color=colour, shape=shape),
        alt.Chart(points).mark_text(align="left", dx=15, dy=-8, fontSize=12).encode(x=x, y=y, text="label:N"),
    ]  # fmt: skip
    return alt.layer(*layers).properties(width=COLUMN * reach, height=ROW * n_leaves + 24)


def _label(node: Node) -> str:
    name = shown(node.path[-1] if node.path else "base", 22)
    return f"{name}: {shown(node.note, 24)}" if node.note else name


def _elbow(parent: Placed, child: Placed) -> tuple[tuple[float, float], ...]:
    bend = parent.x + 0.82
    return (parent.x, parent.y), (bend, parent.y), (bend + 0.06, child.y), (child.x, child.y)
