"""Hostile and broken model directories: each is refused by name, quickly, and runs nothing."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from retrain_equivalence.models.directory import check_model_directory
from retrain_equivalence.models.weights import from_safetensors, to_safetensors


@pytest.fixture
def model(nano_directory: Path, tmp_path: Path) -> Path:
    shutil.copytree(nano_directory, tmp_path / "model")
    # Templates are rendered in a child process, a quarter of a second each: only the tests about them have one.
    edit(tmp_path / "model" / "tokenizer_config.json", lambda config: config.pop("chat_template"))
    return tmp_path / "model"


def lines(path: Path) -> str:
    start = time.monotonic()
    found = "\n".join(problem.line() for problem in check_model_directory(path))
    # A template that never ends costs its own 2 s; everything else is instant.
    assert time.monotonic() - start < 10
    return found


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def safetensors_bytes(header: object, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_sound_directory_has_no_problem(nano_directory: Path) -> None:
    assert check_model_directory(nano_directory) == []


def test_pickles_alone_are_refused_and_beside_safetensors_ignored(model: Path, tmp_path: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    (model / "training_args.bin").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    found = check_model_directory(model)
    assert [problem.severity for problem in found] == ["warning", "warning"]
    (model / "model.safetensors").unlink()
    assert "error[E-DATA-65]" in lines(model)
    assert "only .safetensors weights are read" in lines(model)
    assert not (tmp_path / "canary").exists()


def test_no_weights_at_all(model: Path) -> None:
    (model / "model.safetensors").unlink()
    assert "E-DATA-65" in lines(model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoModelForCausalLM": "modeling_x.Evil"}),
        ("trust_remote_code", True),
        ("_attn_implementation_internal", "evil/repo"),
        ("attn_implementation", "evil/repo"),
        ("experts_implementation", "evil/repo"),
        ("quantization_config", {"quant_method": "gptq"}),
        ("custom_generate", "evil/repo"),
        ("kernels", ["evil/repo"]),
    ],
)
def test_keys_that_fetch_code_are_named_wherever_they_stand(model: Path, key: str, value: object) -> None:
    edit(model / "config.json", lambda config: config.update({key: value}))
    assert "E-DATA-66" in lines(model) and f"'{key}'" in lines(model)
    edit(model / "config.json", lambda config: (config.pop(key), config.update(deep=[{"er": {key: value}}])))
    assert f"'{key}'" in lines(model)


def test_tokenizer_that_asks_for_code_is_refused(model: Path) -> None:
    edit(model / "tokenizer_config.json", lambda c: c.update(auto_map={"AutoTokenizer": ["x.Evil", None]}))
    assert "E-DATA-70" in lines(model) and "'auto_map'" in lines(model)
    edit(model / "tokenizer_config.json", lambda c: (c.pop("auto_map"), c.update(tokenizer_class="EvilTokenizer")))
    assert "tokenizer_class 'EvilTokenizer' is not known" in lines(model)


@pytest.mark.parametrize("name", ["bert", None, 3, ["llama"]])
def test_architectures_outside_the_list_are_refused(model: Path, name: object) -> None:
    edit(model / "config.json", lambda config: config.update(model_type=name))
    assert "E-DATA-66" in lines(model) and "is not supported" in lines(model)


@pytest.mark.parametrize("layers", [0, -1, 10**9, "2", True])
def test_impossible_depths_are_refused(model: Path, layers: object) -> None:
    edit(model / "config.json", lambda config: config.update(num_hidden_layers=layers))
    assert "'num_hidden_layers'" in lines(model)


def test_a_configuration_that_builds_no_model_is_refused(model: Path) -> None:
    edit(model / "config.json", lambda config: config.update(hidden_act="no such activation"))
    assert "E-DATA-66" in lines(model) and "describes no model" in lines(model)


def test_a_configuration_larger_than_the_weights_is_refused_before_loading(model: Path) -> None:
    edit(model / "config.json", lambda config: config.update(intermediate_size=10**6))
    assert "E-DATA-62" in lines(model)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff{}", b"[" * 100_000])
@pytest.mark.parametrize(
    ("name", "code"), [("config.json", "66"), ("tokenizer.json", "70"), ("tokenizer_config.json", "70")]
)
def test_files_that_are_no_json_object(model: Path, name: str, code: str, content: bytes) -> None:
    (model / name).write_bytes(content)
    assert f"E-DATA-{code}" in lines(model)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_missing_files(model: Path, name: str) -> None:
    (model / name).unlink()
    assert f"{name}: is missing" in lines(model)


def test_not_a_directory(model: Path) -> None:
    assert "E-DATA-64" in lines(model / "nothing") and "E-DATA-64" in lines(model / "config.json")


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "is not finished"),
        ("{% for a in range(10**12) %}{% endfor %}", "fails"),
        ("{{ 'x' * 10**11 }}", "memory"),
        ("{{ messages.__class__.__mro__[1].__subclasses__() }}", "fails"),
        ("{{ cycler.__init__.__globals__.os.system('touch canary') }}", "fails"),
        ("{% include '/etc/passwd' %}", "fails"),
        ("{% if %}", "fails"),
        ("{{ raise_exception('never') }}", "never"),
    ],
)
def test_templates_that_loop_escape_or_fail(
    model: Path, template: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)
    edit(model / "tokenizer_config.json", lambda c: c.update(chat_template=template))
    found = lines(model)
    assert "E-DATA-71" in found and why in found
    assert not (model / "canary").exists()


def test_template_file_is_checked_too(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{% if %}")
    assert "chat_template.jinja" in lines(model)
    (model / "chat_template.jinja").write_bytes(b"\xff\xfe")
    assert "E-DATA-71" in lines(model)


def test_harmless_templates_with_every_common_feature_pass(model: Path) -> None:
    template = (
        "{% set ns = namespace(n=0) %}{{ bos_token }}{{ strftime_now('%d %b %Y') }}{{ messages | tojson }}"
        "{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}"
        "{% generation %}{{ m.content | trim }}{% endgeneration %}{% endfor %}"
    )
    edit(model / "tokenizer_config.json", lambda c: c.update(chat_template=template))
    assert lines(model) == ""


@pytest.mark.parametrize("target", ["../../x.safetensors", "/etc/passwd", "sub/x.safetensors", "x.bin"])
def test_index_that_points_outside(model: Path, target: str) -> None:
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": target}}))
    assert "E-DATA-67" in lines(model) and "points outside" in lines(model)


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": {"a": 3}}])
def test_malformed_index(model: Path, index: object) -> None:
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "E-DATA-67" in lines(model)


def test_missing_shard_and_two_owners(model: Path) -> None:
    shutil.copy(model / "model.safetensors", model / "b.safetensors")
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model.safetensors", "b": "b.safetensors", "c": "c.safetensors"}})
    )
    found = lines(model)
    assert "c.safetensors: is missing" in found
    assert "is in 'b.safetensors' too" in found


HALF = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "truncated"),
        (struct.pack("<Q", 1 << 62), "truncated"),
        (struct.pack("<Q", 100) + b"{}", "truncated"),
        (safetensors_bytes(b" " * (17 << 20)), "limit"),
        (safetensors_bytes(b"\xff\xff"), "not JSON"),
        (safetensors_bytes(b"[]"), "not a JSON object"),
        (safetensors_bytes(HALF, b"\0" * 7), "its tensors need 8"),
        (safetensors_bytes(HALF, b"\0" * 9), "its tensors need 8"),
        (
            safetensors_bytes({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"\0" * 8),
            "its shape needs 12",
        ),
        (safetensors_bytes({"a": {"dtype": "U4", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8), "type U4"),
        (safetensors_bytes({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"\0" * 8), "whole number"),
        (safetensors_bytes({"a": {"dtype": "F32"}}), "incompletely"),
        (safetensors_bytes({"a": 3}), "incompletely"),
        (safetensors_bytes(HALF | {"b": HALF["a"]}, b"\0" * 8), "overlaps"),
        (safetensors_bytes({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"\0" * 12), "hole"),
        (
            safetensors_bytes(
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
                b"\0" * 4,
            ),
            "twice",
        ),
        (
            safetensors_bytes(
                {f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(300_000)}
            ),
            "limit",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_malformed_safetensors(model: Path, data: bytes, why: str) -> None:
    (model / "model.safetensors").write_bytes(data)
    found = lines(model)
    assert "E-DATA-68" in found and why in found


def test_huge_sparse_file_is_refused_without_reading_it(model: Path) -> None:
    with (model / "model.safetensors").open("r+b") as file:
        file.truncate(100 << 30)
    assert "E-DATA-68" in lines(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none(model: Path, value: float) -> None:
    weights = from_safetensors(model / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"].clone().index_fill_(0, torch.tensor([3]), value)
    (model / "model.safetensors").write_bytes(to_safetensors(weights))
    assert "E-DATA-69" in lines(model) and "'model.norm.weight'" in lines(model)


def test_tied_weights_that_differ(model: Path) -> None:
    weights = from_safetensors(model / "model.safetensors")
    embedding = weights["model.embed_tokens.weight"]
    (model / "model.safetensors").write_bytes(to_safetensors(weights | {"lm_head.weight": embedding.clone()}))
    assert lines(model) == ""
    (model / "model.safetensors").write_bytes(to_safetensors(weights | {"lm_head.weight": embedding + 1}))
    assert "E-DATA-62" in lines(model) and "ties them" in lines(model)


def test_tokenizer_larger_than_the_embedding(model: Path) -> None:
    edit(
        model / "tokenizer.json",
        lambda t: t["added_tokens"].append({**t["added_tokens"][0], "id": 400, "content": "<x>"}),
    )
    assert "tokenizer has 401 ids, embedding 384" in lines(model)


@pytest.mark.parametrize("vocabulary", [None, 3, {}, {"a": "b"}, {"a": -1}])
def test_tokenizer_without_a_vocabulary(model: Path, vocabulary: object) -> None:
    edit(model / "tokenizer.json", lambda t: (t["model"].update(vocab=vocabulary), t.update(added_tokens=[])))
    assert "E-DATA-70" in lines(model)


def test_links_out_pipes_sockets_and_strange_names(model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    (model / "link.json").symlink_to(tmp_path / "secret")
    os.mkfifo(model / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(model)  # the path of a socket may have 107 bytes only
        try:
            listener.bind("sock")
        finally:
            os.chdir(here)
        (model / "a\n\x1b[31mb").write_text("")
        found = lines(model)
    assert "link.json: is a symbolic link" in found
    assert "pipe: is a FIFO" in found
    assert "sock: is a socket" in found
    assert "control characters" in found
    assert "\x1b" not in found


def test_needed_files_that_are_links_or_pipes_never_block(model: Path, tmp_path: Path) -> None:
    shutil.move(model / "config.json", tmp_path / "config.json")
    (model / "config.json").symlink_to(tmp_path / "config.json")
    (model / "tokenizer.json").unlink()
    os.mkfifo(model / "tokenizer.json")
    found = lines(model)
    assert "config.json: is a symbolic link" in found
    assert "tokenizer.json: is a FIFO" in found


def test_hub_links_must_stay_inside_their_repository(model: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "repo" / "snapshots" / "abc"
    (tmp_path / "repo" / "blobs").mkdir(parents=True)
    shutil.copytree(model, snapshot)
    shutil.move(snapshot / "config.json", tmp_path / "repo" / "blobs" / "c0")
    (snapshot / "config.json").symlink_to("../../blobs/c0")
    assert lines(snapshot) == ""
    (tmp_path / "repo" / "blobs" / "c1").symlink_to("/etc/passwd")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../blobs/c1")
    assert "is a symbolic link" in lines(snapshot)


def test_adapters_are_not_models(model: Path) -> None:
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "evil/other"}))
    assert "E-DATA-72" in lines(model)


def test_all_problems_are_reported_at_once(model: Path) -> None:
    edit(model / "config.json", lambda config: config.update(auto_map={}, model_type="bert"))
    edit(model / "tokenizer_config.json", lambda c: c.update(tokenizer_class="Evil"))
    (model / "model.safetensors").write_bytes(b"")
    assert {problem.code for problem in check_model_directory(model)} == {"E-DATA-66", "E-DATA-68", "E-DATA-70"}
