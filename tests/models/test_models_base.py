"""Bases from every source end in one layout; offline means offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models_support import NANO, write

from retrain_equivalence.core.errors import InputError, MachineError
from retrain_equivalence.models.base import base_files, load_base
from retrain_equivalence.models.hub import locked_revision
from retrain_equivalence.models.weights import from_safetensors, to_safetensors
from retrain_equivalence.recipes.model import GgufModel, HubModel, LocalModel, TinyModel

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LAYOUT = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "about.json"}

PROGRAM = """
import hashlib, pathlib
from retrain_equivalence.models.base import base_files
from retrain_equivalence.recipes.model import TinyModel
files = base_files(TinyModel(tiny="nano"), seed=1, tokenizer_text=None, study_dir=pathlib.Path(), offline=True)
print(hashlib.sha256(b"".join(files[name] for name in sorted(files))).hexdigest())
"""


def hub_cache(root: Path, source: Path, repository: str) -> Path:
    """Lay `source` out as the hub's cache does: blobs, and a snapshot of links to them."""
    home = root / f"models--{repository.replace('/', '--')}"
    snapshot = home / "snapshots" / COMMIT
    (home / "blobs").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(source.iterdir())):
        blob = home / "blobs" / f"{number:040x}"
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


@pytest.fixture
def cache(tmp_path: Path, nano_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return hub_cache(tmp_path / "hub", nano_directory, "someone/nano")


def files_of(recipe: object, study_dir: Path = Path(), *, offline: bool = True) -> dict[str, bytes | Path]:
    return base_files(recipe, seed=1, tokenizer_text=None, study_dir=study_dir, offline=offline)  # type: ignore[arg-type]


def test_tiny_base_is_the_same_bytes_in_another_process() -> None:
    import hashlib

    files = files_of(NANO)
    assert files.keys() == LAYOUT
    here = hashlib.sha256(b"".join(bytes(files[name]) for name in sorted(files))).hexdigest()  # type: ignore[arg-type]
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here
    assert there.stderr == ""


def test_tiny_base_follows_seed_and_tokenizer_text() -> None:
    files = files_of(NANO)
    other_seed = base_files(NANO, seed=2, tokenizer_text=None, study_dir=Path(), offline=True)
    assert [name for name in sorted(files) if files[name] != other_seed[name]] == ["about.json", "model.safetensors"]
    other_text = base_files(NANO, seed=1, tokenizer_text="the cat " * 9, study_dir=Path(), offline=True)
    assert other_text["tokenizer.json"] != files["tokenizer.json"]


def test_a_poor_tokenizer_text_gives_a_smaller_embedding(tmp_path: Path) -> None:
    files = base_files(
        TinyModel(tiny="tiny"), seed=1, tokenizer_text="the cat sat " * 9, study_dir=Path(), offline=True
    )
    model, codec = load_base(write(files, tmp_path / "base"), TinyModel(tiny="tiny"))
    assert model.config.vocab_size == codec.vocabulary_size < 280


def test_loading_is_deterministic_and_reads_no_global_generator(nano_directory: Path) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, _ = load_base(nano_directory, NANO)
    two, _ = load_base(nano_directory, NANO)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not one.training
    assert one.config._attn_implementation == "sdpa"


def test_hub_model_comes_from_the_local_cache_when_offline(cache: Path, nano_directory: Path, tmp_path: Path) -> None:
    for recipe in (HubModel(hub="someone/nano"), HubModel(hub="someone/nano", revision=COMMIT)):
        files = files_of(recipe)
        assert json.loads(bytes(files["about.json"])) == {"source": "hub", "hub": "someone/nano", "revision": COMMIT}  # type: ignore[arg-type]
        weights = files["model.safetensors"]
        assert isinstance(weights, Path)
        assert not weights.is_symlink()
        assert weights.read_bytes() == (nano_directory / "model.safetensors").read_bytes()
    assert locked_revision("someone/nano", None, offline=True) == COMMIT
    model, _ = load_base(write(files, tmp_path / "copy"), recipe)
    assert model.num_parameters() > 40_000


@pytest.mark.parametrize("offline", [True, False])
def test_hub_model_that_is_not_there_says_so(cache: Path, offline: bool) -> None:
    with pytest.raises(MachineError, match=r"E-ENV-08.*someone/other.*model\.path"):
        files_of(HubModel(hub="someone/other"), offline=offline)


def test_a_name_the_hub_cannot_have_is_refused(cache: Path) -> None:
    with pytest.raises(MachineError, match="E-ENV-08"):
        files_of(HubModel(hub="a/b/c"))


def test_sharded_weights_are_kept_as_shards(nano_directory: Path, tmp_path: Path) -> None:
    source = tmp_path / "sharded"
    weights = from_safetensors(nano_directory / "model.safetensors")
    names = sorted(weights)
    shards = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    write({n: nano_directory / n for n in ("config.json", "tokenizer.json", "tokenizer_config.json")}, source)
    for file, held in shards.items():
        (source / file).write_bytes(to_safetensors({name: weights[name] for name in held}))
    index = {"metadata": {}, "weight_map": {name: file for file, held in shards.items() for name in held}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    files = files_of(LocalModel(path="sharded"), tmp_path)
    assert shards.keys() <= files.keys()
    model, _ = load_base(write(files, tmp_path / "copy"), LocalModel(path="copy"))
    whole, _ = load_base(nano_directory, NANO)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))


def test_weights_of_another_model_are_refused(nano_directory: Path, tmp_path: Path) -> None:
    copy = write({file.name: file for file in nano_directory.iterdir()}, tmp_path / "copy")
    weights = from_safetensors(copy / "model.safetensors")
    (copy / "model.safetensors").write_bytes(to_safetensors(weights | {"model.extra.weight": torch.zeros(4000)}))
    with pytest.raises(InputError, match=r"E-DATA-62.*unexpected.*model.extra.weight"):
        load_base(copy, NANO)
    missing = {name: tensor for name, tensor in weights.items() if name != "model.norm.weight"}
    (copy / "model.safetensors").write_bytes(to_safetensors(missing))
    with pytest.raises(InputError, match=r"E-DATA-62.*missing.*model.norm.weight"):
        load_base(copy, NANO)
    (copy / "model.safetensors").write_bytes(to_safetensors(weights | {"model.norm.weight": torch.zeros(31)}))
    with pytest.raises(InputError, match=r"E-DATA-62.*model.norm.weight"):
        load_base(copy, NANO)


def test_chat_template_that_the_study_cannot_use_is_found_at_ingest(nano_directory: Path, tmp_path: Path) -> None:
    copy = write({file.name: file for file in nano_directory.iterdir()}, tmp_path / "copy")
    (copy / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>"}))
    with pytest.raises(InputError, match=r"E-DATA-60.*no chat template"):
        files_of(LocalModel(path="copy", template="chat"), tmp_path)
    assert "config.json" in files_of(LocalModel(path="copy"), tmp_path)


def test_what_is_not_gguf_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"E-DATA-63.*no such file"):
        files_of(GgufModel(gguf="none.gguf"), tmp_path)
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(InputError, match=r"E-DATA-63.*does not start with 'GGUF'"):
        files_of(GgufModel(gguf="text.gguf"), tmp_path)
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\0\0\0")
    with pytest.raises(InputError, match="E-DATA-63"):
        files_of(GgufModel(gguf="cut.gguf"), tmp_path)


@pytest.mark.real
@pytest.mark.slow
def test_a_real_gguf_file_becomes_an_ordinary_model(tmp_path: Path) -> None:
    path = os.environ.get("RETRAIN_EQUIVALENCE_GGUF")
    if not path:
        pytest.skip("RETRAIN_EQUIVALENCE_GGUF names no file")
    recipe = replace(GgufModel(gguf=path), template="chat")
    model, codec = load_base(write(files_of(recipe), tmp_path / "base"), recipe)
    assert "quantization_config" not in json.loads((tmp_path / "base" / "config.json").read_text())
    from retrain_equivalence.models.generation import generate

    ((answer,),) = generate(model, codec, ["What is the capital of France?"], max_new_tokens=16)
    assert "Paris" in answer


def test_planning_modules_load_neither_torch_nor_transformers() -> None:
    program = (
        "import sys\nfrom retrain_equivalence.models import base, chat_template, codec, directory, hub, tiny\n"
        "from retrain_equivalence.models import tokenizer\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'tokenizers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
