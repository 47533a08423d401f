"""Pairs of states with their weights in memory: as many states at once as fit, each opened as seldom as that allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from retrain_equivalence.core.identity import Key
from retrain_equivalence.execution.specs import Snapshot

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from retrain_equivalence.execution.states import States

WEIGHT_BYTES = 3 * 2**30
"""Weights that are held at once: all states of a step of a tiny model, a few of one of a hundred million parameters."""

Pair = tuple[int, int]
"""Indices into a list of states."""

Weights = Mapping[str, "Tensor"]
"""Tensors by name, on the CPU; adapters are merged."""


def weight_pairs(
    states: States, here: Sequence[Snapshot], pairs: Sequence[Pair], bases: Mapping[int, Key]
) -> Iterator[tuple[Pair, Weights, Weights]]:
    """Yield each pair once with the weights of its two states.

    States are opened block by block, at most `WEIGHT_BYTES` at once: two blocks are held, every pair between them is
    done, and a pair of blocks in which there is nothing to do is never opened.

    Args:
        states: opens the weights.
        here: the states that `pairs` counts.
        pairs: which ones, in any order.
        bases: replicate -> its base model.
    """
    from retrain_equivalence.models.weights import weights_of

    if not pairs:
        return
    # Path pairs share a replicate: with these next to each other most of them lie in one block.
    order = sorted({i for pair in pairs for i in pair}, key=lambda i: here[i].name.replicate)

    def model_of(i: int) -> PreTrainedModel:
        state = here[i]
        return states.merged(state.state, bases[state.name.replicate], state.step or None)[0]

    size = max(1, WEIGHT_BYTES // (2 * sum(tensor.nbytes for tensor in model_of(order[0]).parameters())))
    blocks = [order[start : start + size] for start in range(0, len(order), size)]
    done: set[Pair] = set()
    for number, block in enumerate(blocks):
        held: dict[int, Weights] = {}
        for other in blocks[number:]:
            inside = {*block, *other}
            wanted = [p for p in pairs if p not in done and p[0] in inside and p[1] in inside]
            if not wanted:
                continue
            held = {i: kept for i, kept in held.items() if i in block}
            for i in sorted({i for pair in wanted for i in pair} - held.keys()):
                # Copies: the model object is shared, and the next state overwrites it.
                held[i] = weights_of(model_of(i))
            for i, j in wanted:
                yield (i, j), held[i], held[j]
            done.update(wanted)
