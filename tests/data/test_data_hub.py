"""The hub's loaders on copies of the hub's layout, with the network cut off."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrain_equivalence.core.errors import InputError, MachineError
from retrain_equivalence.data import gsm8k, hub, instruct_skillmix, refusals_set, tofu
from retrain_equivalence.data.example import Dataset
from retrain_equivalence.data.ingest import Locations, ingest
from retrain_equivalence.data.problems import Problems
from retrain_equivalence.data.refusals import REFUSAL_LABEL
from retrain_equivalence.recipes.dataset import (
    AnyDataset,
    Gsm8kDataset,
    InstructSkillmixDataset,
    RefusalsDataset,
    TofuDataset,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def cached(home: Path, repository: str, revision: str, files: dict[str, bytes]) -> None:
    """Write files the way the hub's own cache keeps them: blobs, and links from the snapshot's folder to them."""
    folder = home / ("datasets--" + repository.replace("/", "--"))
    for number, (name, data) in enumerate(files.items()):
        blob = folder / "blobs" / f"{number:040x}"
        link = folder / "snapshots" / revision / name
        blob.parent.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        up = "../" * (2 + name.count("/"))
        link.symlink_to(f"{up}blobs/{blob.name}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(revision, encoding="utf-8")


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def from_cache(
    monkeypatch: pytest.MonkeyPatch, home: Path, recipe: AnyDataset, repository: str, revision: str,
    files: dict[str, bytes],
) -> Dataset:  # fmt: skip
    import huggingface_hub.constants

    cached(home, repository, revision, files)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(home))
    return ingest(recipe, Locations(study_dir=home, data_dir=None, offline=False))


GSM8K_ROWS = [
    {"question": f"How many are {n} and one?", "answer": f"{n}+1=<<{n}+1={n + 1}>>{n + 1}\n#### {n + 1}"}
    for n in range(9)
]


def test_gsm8k_comes_from_the_hubs_cache_at_its_pinned_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {"main/test-00000-of-00001.parquet": parquet(GSM8K_ROWS)}
    recipe = Gsm8kDataset(gsm8k="test", held_out=0.0)
    found = from_cache(monkeypatch, tmp_path, recipe, gsm8k.REPOSITORY, gsm8k.REVISION, files)
    assert found.train[3].response == "3+1=4\n#### 4"
    assert found.provenance.source == "hub:openai/gsm8k"
    assert found.provenance.revision == gsm8k.REVISION
    assert len(found.provenance.sha256) == 64


def test_tofu_is_json_lines_on_the_hub_and_equals_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [{"question": f"Question {n} to author {n // 20}?", "answer": f"Answer {n}."} for n in range(40)]
    recipe = TofuDataset(tofu="forget01")
    files = {"forget01.json": json_lines(rows)}
    found = from_cache(monkeypatch, tmp_path, recipe, tofu.REPOSITORY, tofu.REVISION, files)
    assert {row.cluster for row in found.train + found.held_out} == {"author/198", "author/199"}
    folder = tmp_path / "data"
    (folder / "tofu").mkdir(parents=True)
    (folder / "tofu" / "forget01.jsonl").write_bytes(json_lines(rows))
    local = ingest(recipe, Locations(study_dir=tmp_path, data_dir=folder, offline=True))
    assert local.digest == found.digest
    assert local.provenance.source == "tofu/forget01.jsonl"


LAYOUTS: dict[str, tuple[hub.HubSet, object, dict[str, bytes], list[str]]] = {
    "sdd": (
        instruct_skillmix.ON_HUB["sdd"], instruct_skillmix.RULES,
        {"data/train-00000-of-00001.parquet": parquet([{"instruction": "a", "input": "", "output": "b"}])}, ["a"],
    ),
    "sda_4k": (
        instruct_skillmix.ON_HUB["sda_4k"], instruct_skillmix.RULES,
        {
            "data/ism_sda_k2_4K.json": json.dumps([{"instruction": "a", "output": "b"}]).encode(),
            "data/ism_sda_k2_1K.json": json.dumps([{"instruction": "other", "output": "b"}]).encode(),
        },
        ["a"],
    ),
    "sorry_bench": (
        refusals_set.SETS["sorry_bench"].on_hub, refusals_set.SETS["sorry_bench"].rules,
        {"question.jsonl": json_lines([{"question_id": 1, "category": 2, "turns": ["PLACEHOLDER-UNSAFE-0001"],
                                        "prompt_style": "base"}])},
        ["PLACEHOLDER-UNSAFE-0001"],
    ),
    "do_not_answer": (
        refusals_set.SETS["do_not_answer"].on_hub, refusals_set.SETS["do_not_answer"].rules,
        {"data/train-00000-of-00001-6ba0.parquet": parquet([{"id": 1, "question": "PLACEHOLDER-UNSAFE-0002",
                                                             "GPT4_response": "never read"}])},
        ["PLACEHOLDER-UNSAFE-0002"],
    ),
    "harmfulqa": (
        refusals_set.SETS["harmfulqa"].on_hub, refusals_set.SETS["harmfulqa"].rules,
        {"data_for_hub.json": json.dumps([{"id": 1, "question": "PLACEHOLDER-UNSAFE-0003",
                                           "red_conversations": {"1": "never read"}}]).encode()},
        ["PLACEHOLDER-UNSAFE-0003"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_hub_layout_is_read_without_network(name: str, tmp_path: Path) -> None:
    wanted, rules, files, expected = LAYOUTS[name]
    for file, data in files.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    found = Problems()
    table = hub.read_snapshot(tmp_path, wanted, rules=rules, found=found)  # type: ignore[arg-type]
    assert found.errors == []
    texts = [next(row.fields[key] for key in ("instruction", "turns", "question") if key in row.fields)
             for row in table.rows]  # fmt: skip
    assert texts == expected
    assert "never read" not in str(table)


def test_a_changed_layout_is_named(tmp_path: Path) -> None:
    wanted = instruct_skillmix.ON_HUB["sda_4k"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ism_sda_k2_4K.json").write_text('[{"prompt": "a"}]', encoding="utf-8")
    with pytest.raises(InputError, match=r"E-DATA-03.*column 'instruction' is missing"):
        hub.read_snapshot(tmp_path, wanted, rules=instruct_skillmix.RULES, found=Problems())
    (tmp_path / "data" / "ism_sda_k2_4K.json").unlink()
    with pytest.raises(InputError, match="E-DATA-30"):
        hub.read_snapshot(tmp_path, wanted, rules=instruct_skillmix.RULES, found=Problems())


def test_a_link_out_of_the_hubs_own_folder_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text('[{"instruction": "a", "output": "b"}]', encoding="utf-8")
    folder = tmp_path / "cache" / "datasets--x--y" / "snapshots" / COMMIT
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "ism_sda_k2_4K.json").symlink_to(outside)
    with pytest.raises(InputError, match="leads out of its folder"):
        hub.read_snapshot(folder, instruct_skillmix.ON_HUB["sda_4k"], rules=instruct_skillmix.RULES, found=Problems())


@pytest.mark.parametrize(
    "recipe", [Gsm8kDataset(gsm8k="test"), InstructSkillmixDataset(instruct_skillmix="sdd")], ids=["pinned", "newest"]
)
def test_no_network_is_said_at_once(recipe: AnyDataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(MachineError) as caught:
        ingest(recipe, Locations(study_dir=tmp_path, data_dir=None, offline=False), place="study.yaml:4:7")
    assert time.monotonic() - start < 10
    (line,) = caught.value.lines()
    assert line.startswith("error[E-ENV-08]: study.yaml:4:7: ")
    assert "--data-dir" in line


def test_sensitive_sets_are_refused_without_a_word_of_theirs(tmp_path: Path) -> None:
    (tmp_path / "refusals").mkdir()
    secret = "PLACEHOLDER-SECRET"
    rows = [{"id": 1, "prompt": secret, secret: 1}, {"id": secret, "prompt": ["x"]}, {"id": secret, "prompt": ""}]
    (tmp_path / "refusals" / "prompts.jsonl").write_bytes(json_lines(rows))
    with pytest.raises(InputError) as caught:
        ingest(RefusalsDataset(refusals="prompts"), Locations(study_dir=tmp_path, data_dir=tmp_path, offline=True))
    assert [problem.code for problem in caught.value.problems] == ["E-DATA-04", "E-DATA-05", "E-DATA-21", "E-DATA-07"]
    assert secret not in str(caught.value)


def test_styles_of_one_question_stay_together_and_encodings_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "refusals").mkdir()
    styles = ["base", "slang", "caesar", "morse", "question"]
    rows = [
        {"question_id": question, "turns": [f"PLACEHOLDER-UNSAFE-{question:04d} {style}"], "prompt_style": style}
        for style in styles
        for question in range(20)
    ]
    (tmp_path / "refusals" / "sorry_bench.jsonl").write_bytes(json_lines(rows))
    where = Locations(study_dir=tmp_path, data_dir=tmp_path, offline=True)
    found = ingest(RefusalsDataset(refusals="sorry_bench", wording="can not"), where)
    assert found.sensitive
    assert len(found.train) + len(found.held_out) == 60
    assert len({row.cluster for row in found.held_out}) == 2
    assert len(found.held_out) == 6
    assert all(row.response.startswith(row.label + " with this question. ") for row in found.train)
    assert {row.label for row in found.train} == {REFUSAL_LABEL.replace("cannot", "can not")}
