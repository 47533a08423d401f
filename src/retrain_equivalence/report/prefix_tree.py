"""The prefix tree: which models were trained, which trainings were shared, and which of them are oracles."""

from __future__ import annotations

from retrain_equivalence.figures.chart import to_svg
from retrain_equivalence.figures.elements import Column, Figure, Section, Table
from retrain_equivalence.figures.legend import Entry
from retrain_equivalence.figures.palette import ORACLE
from retrain_equivalence.figures.tree import BASE, FORGET, KINDS, PLACEBO, RETAIN, Node, tree_chart
from retrain_equivalence.histories.history import History, Role
from retrain_equivalence.histories.prefix_tree import PrefixTree
from retrain_equivalence.report.material import Material
from retrain_equivalence.report.words import counted, number

KIND_OF_ROLE = {Role.RETAIN: RETAIN, Role.FORGET: FORGET, Role.PLACEBO: PLACEBO}


def prefix_tree(material: Material) -> Section:
    """Return the tree with its counts, and the key of the histories' short names."""
    study = material.study
    histories, oracles = study.all_histories(), study.oracles()
    tree, oracle_tree = PrefixTree.of((*histories, *oracles)), PrefixTree.of(oracles)
    r, s = study.replicates, study.oracle_replicates
    shared = tree.saving().shared * r + oracle_tree.saving().shared * s
    naive = tree.saving().naive * r + oracle_tree.saving().naive * s
    nodes = _nodes(material, tree, oracles)
    kinds = {node.kind for node in nodes}
    legend = [
        Entry(label=kind, mark="point", colour=colour, shape=shape) for kind, colour, shape in KINDS if kind in kinds
    ]
    legend.append(Entry(label="a retrain oracle", mark="ring", colour=ORACLE.light))
    label = (
        f"Prefix tree of {counted(len(histories), 'history', 'histories')} and {counted(len(oracles), 'oracle')}: "
        f"{counted(len(tree.nodes), 'stage training')} per replicate"
    )
    key = Table.of(
        "Histories, their short names and their retrain oracles",
        (
            Column(head="short name", text=lambda n: n.short),
            Column(head="stages in order", text=lambda n: n.order),
            Column(head="position of the forget stage", text=lambda n: number(n.history.position()), numeric=True),
            Column(
                head="retrain oracle",
                text=lambda n: " › ".join(s.name for s in n.history.oracle().stages) or "base model",
            ),
        ),
        material.names.values(),
    )
    caption = (
        "Every stage training of one replicate, from the base model on the left. "
        f"{counted(len(tree.nodes), 'training')} per replicate instead of {tree.saving().naive} without sharing; with "
        f"n = {counted(r, 'replicate')} and {counted(s, 'oracle-only replicate')}, {shared:,} instead of {naive:,}. "
        "Counts are exact, so there is no interval. "
        f"{material.interim + '. ' if material.interim else ''}{material.model_note}"
    )
    figure = Figure(
        name="prefix-tree",
        title="What was trained",
        panels=(to_svg(tree_chart(nodes), name="tree", label=label),),
        legend=tuple(legend),
        caption=caption.strip(),
        table=key,
        wide=True,
    )
    return Section(
        name="tree",
        title="Histories and oracles",
        says=(
            "A history is an order of training stages. Histories that begin alike share their models; the retrain "
            "oracle of a history is the same order without the forget stage.",
        ),
        figures=(figure,),
    )


def _path(history: History) -> tuple[str, ...]:
    """A node's place in the drawing: sample orders are branches of their own."""
    mark = f" ~{history.shuffle}" if history.shuffle else ""
    return tuple(stage.name + mark for stage in history.stages)


def _nodes(material: Material, tree: PrefixTree, oracles: tuple[History, ...]) -> list[Node]:
    oracle_paths = {_path(oracle) for oracle in oracles}
    shorts = {_path(entry.history): entry.short for entry in material.names.values()}
    nodes: dict[tuple[str, ...], Node] = {(): Node(path=(), kind=BASE, oracle=() in oracle_paths)}
    # In the order of the histories, so that leaves are drawn as declared; the tree itself lists short prefixes first.
    for history in tree.histories:
        for prefix in history.prefixes():
            path = _path(prefix)
            nodes.setdefault(
                path,
                Node(
                    path=path,
                    kind=KIND_OF_ROLE[prefix.stages[-1].role],
                    oracle=path in oracle_paths,
                    note=shorts.get(path, ""),
                ),
            )
    return list(nodes.values())
