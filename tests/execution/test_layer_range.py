"""Layers that an objective reads and the model does not have are refused before anything is trained."""

import pytest
import small_study

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.execution.layer_range import n_layers

RMU = "unlearnings=[{name: x, objective: rmu, layer: LAYER, retain_stages: [facts], max_steps: 4}]"


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_every_layer_of_the_model_may_be_read(layer: int) -> None:
    assert small_study.planned(RMU.replace("LAYER", str(layer))).count("unlearn") == 4


def test_a_layer_beyond_the_last_is_refused_by_plan() -> None:
    with pytest.raises(StudyError, match=r"E-CFG-44.*unlearnings.x: an objective reads layer 3, but the model has 2"):
        small_study.planned(RMU.replace("LAYER", "3"))


def test_a_folders_layers_are_counted_from_its_tensors(nano_folder, tmp_path) -> None:
    local = f"model={{path: {nano_folder}}}"
    assert small_study.planned(local, RMU.replace("LAYER", "2")).count("unlearn") == 4
    with pytest.raises(StudyError, match=r"E-CFG-44.*the model has 2"):
        small_study.planned(local, RMU.replace("LAYER", "7"))


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        (["transformer.h.0.attn.weight", "transformer.h.11.mlp.weight"], 12),
        (["blk.0.q_proj.weight", "blk.29.down_proj.weight"], 30),
        (["embed_tokens.weight"], None),
    ],
)
def test_layers_of_other_layouts(names: list[str], layers: int | None) -> None:
    assert n_layers(names) == layers
