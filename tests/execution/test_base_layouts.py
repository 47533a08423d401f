"""A foreign base ends in one layout, however its weights lie on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import small_study
from safetensors.torch import load_file, save_file

from retrain_equivalence.store.local import LocalStore

BARE = (*small_study.BARE, "histories=[[facts, sums, safety]]", "unlearnings.npo.max_steps=2",
        "unlearnings.npo.save_at=[0, 2]", "unlearnings.ga.max_steps=2", "unlearnings.ga.save_at=[0, 2]")  # fmt: skip


def sharded(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, chosen in parts.items():
        save_file({name: weights[name] for name in chosen}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, chosen in parts.items() for name in chosen}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def with_the_tied_head_written_out(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("change", [sharded, with_the_tied_head_written_out])
def test_every_layout_trains_to_the_same_weights(tmp_path: Path, nano_folder: Path, change: object) -> None:
    found = []
    for name in ("single", "other"):
        root = tmp_path / name
        shutil.copytree(nano_folder, root / "model")
        if name == "other":
            assert callable(change)
            change(root / "model")
        small_study.run_small(root, *BARE, f"model={{path: {root / 'model'}}}")
        store = LocalStore(root / "store")
        found.append({m.files["model.safetensors"] for m in store.manifests("stage")})
    assert found[0] == found[1]
    assert len(found[0]) == 3
