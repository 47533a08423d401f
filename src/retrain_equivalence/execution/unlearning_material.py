"""What an unlearning run reads besides its model: forget rows, and the companions that its objectives need.

Everything is gathered while the model stands at the history's end, before the first step: the reference is that model,
whatever phase of a procedure asks for it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from retrain_equivalence.core.errors import RunError
from retrain_equivalence.execution.specs import RowsOf, UnlearnSpec
from retrain_equivalence.execution.states import FULL, States
from retrain_equivalence.histories.unlearning import Phase
from retrain_equivalence.models.weights import from_safetensors, load_weights
from retrain_equivalence.objectives.catalogue import passes_of
from retrain_equivalence.recipes.model import LoraTuning
from retrain_equivalence.recipes.passes import ForwardPass, Split, Weights
from retrain_equivalence.training.companions import Companions
from retrain_equivalence.training.reference import reference_logps

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from retrain_equivalence.models.codec import Codec, Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlearningMaterial:
    """Rows and companions of each phase, by its number in the procedure."""

    _rows: Mapping[int, list[Encoded]]
    _companions: Mapping[int, Companions]

    def rows(self, number: int) -> list[Encoded]:
        """Return the forget rows that a phase trains on."""
        return self._rows[number]

    def companions(self, number: int) -> Companions:
        """Return what else a phase sees."""
        return self._companions[number]

    @classmethod
    def gather(cls, states: States, spec: UnlearnSpec, model: PreTrainedModel, codec: Codec) -> UnlearningMaterial:
        """Read rows, compute reference log-probabilities and make frozen copies, as far as they are needed.

        Args:
            states: of the worker.
            spec: the run.
            model: the history's end model, plain weights, no adapter of this run attached.
            codec: of the base.

        Raises:
            RunError: E-RUN-02 if no row is left that has a preferred answer.
        """
        phases = {n: step for n, step in enumerate(spec.procedure) if isinstance(step, Phase)}
        asked = {number: passes_of(phase.objective) for number, phase in phases.items()}
        frozen = _frozen(states, spec, model, [one for passes in asked.values() for one in passes])
        rows: dict[int, list[Encoded]] = {}
        looked_up: dict[tuple[Split, int], dict[str, Tensor]] = {}
        companions: dict[int, Companions] = {}
        for number, phase in phases.items():
            splits = {one.split for one in asked[number]}

            def read(source: RowsOf, length: int = phase.training.max_length) -> list[Encoded]:
                return states.rows(source.data, spec.base, codec, max_length=length, on_long=source.on_long)

            forget = every = read(RowsOf(data=spec.data, on_long=spec.on_long))
            preferred: dict[str, Encoded] = {}
            if Split.PREFERRED in splits and spec.preferred is not None:
                preferred = {row.id: row for row in read(spec.preferred)}
                forget = [row for row in forget if row.id in preferred]  # a pair goes if one of it was dropped
                if not forget:
                    raise RunError.of("E-RUN-02", "unlearn", "no forget row has a preferred answer", "raise max_length")
            retain: list[Encoded] = []
            if Split.RETAIN in splits:
                # Ids are unique within a data set only.
                parts = enumerate(map(read, spec.retain))
                retain = [replace(row, id=f"{n}/{row.id}") for n, part in parts for row in part]
            # Of all forget rows, also those that this phase leaves out: another one may train on them.
            of_split = {
                Split.FORGET: every, Split.PREFERRED: [preferred[r.id] for r in forget if preferred],
                Split.RETAIN: retain,
            }  # fmt: skip
            reference = {}
            for split in dict.fromkeys(one.split for one in asked[number] if one.is_looked_up):
                place = (split, phase.training.max_length)  # phases that read the same rows share them
                if place not in looked_up:
                    looked_up[place] = reference_logps(model, of_split[split], codec.pad_id)
                reference[split] = looked_up[place]
            rows[number] = forget
            companions[number] = Companions(
                reference=reference,
                retain=retain,
                retain_order_seed=spec.retain_order_seeds[number],
                preferred=preferred,
                frozen=frozen,
                memory_seed=spec.memory_seed,
            )
        return cls(_rows=rows, _companions=companions)


def _frozen(
    states: States, spec: UnlearnSpec, model: PreTrainedModel, asked: list[ForwardPass]
) -> dict[Weights, PreTrainedModel]:
    """Copy the models that are run at every step without being trained."""
    live = {one.weights for one in asked if not one.is_looked_up}
    found: dict[Weights, PreTrainedModel] = {}
    if Weights.REFERENCE in live and not isinstance(spec.tuning, LoraTuning):
        found[Weights.REFERENCE] = copy.deepcopy(model)
    if Weights.TEACHER in live:
        teacher = copy.deepcopy(model)
        load_weights(teacher, from_safetensors(states.store.get(spec.base).path(FULL)))
        found[Weights.TEACHER] = teacher
    for frozen in found.values():
        frozen.requires_grad_(False)
    return found
