"""Whether the layers whose hidden states an objective reads exist in the model: known before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from retrain_equivalence.core.errors import Problem
from retrain_equivalence.execution.state_size import weight_shapes
from retrain_equivalence.models.tiny import SIZES
from retrain_equivalence.objectives.catalogue import passes_of
from retrain_equivalence.recipes.model import AnyModel, TinyModel
from retrain_equivalence.study.study import Study

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blk|block|blocks)\.(\d+)\.")


def n_layers(names: Iterable[str]) -> int | None:
    """Return how many layers a model has, from the names of its tensors; None if they are not numbered.

    >>> n_layers(["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.11.input_layernorm"])
    12
    """
    numbers = [int(found[1]) for name in names if (found := _LAYER.search(name))]
    return max(numbers) + 1 if numbers else None


def layer_problems(study: Study, study_dir: Path) -> list[Problem]:
    """Return a problem for every unlearning that reads a layer beyond the model's last one.

    A hub model that is not in the local cache is not known here, and the first training step would say so.
    """
    asked = {
        (unlearning.name, one.layer)
        for unlearning in study.unlearnings
        for phase in unlearning.phases
        for one in passes_of(phase.objective)
        if one.layer is not None
    }
    known = _layers_of(study.model, study_dir) if asked else None
    if known is None:
        return []
    return [
        Problem(
            code="E-CFG-44",
            place=f"unlearnings.{name}",
            message=f"an objective reads layer {layer}, but the model has {known} (0 is the embedding)",
            fix=f"choose one from 0 to {known}",
        )
        for name, layer in sorted(asked)
        if layer > known
    ]


def _layers_of(model: AnyModel, study_dir: Path) -> int | None:
    if isinstance(model, TinyModel):
        return SIZES[model.tiny].layers
    shapes = weight_shapes(model, study_dir)
    return None if shapes is None else n_layers(shapes)
