"""Finding, choosing, splitting, storing and comparing rows."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_equivalence.core.errors import InputError, MachineError
from retrain_equivalence.data.example import Dataset, Example, Provenance, digest_of_rows
from retrain_equivalence.data.ingest import LOADERS, Locations, check_overlap, from_files, ingest, to_files
from retrain_equivalence.data.near_duplicates import near_duplicate_groups
from retrain_equivalence.data.selection import cluster_sizes, split, take
from retrain_equivalence.recipes.dataset import (
    DATASET_KINDS,
    GeneratedDataset,
    Gsm8kDataset,
    InstructMixDataset,
    InstructSkillmixDataset,
    JsonlDataset,
    RefusalsDataset,
    TextDataset,
    TofuDataset,
)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
EXAMPLES = st.lists(
    st.builds(Example, id=TEXT, prompt=TEXT, response=TEXT, cluster=st.sampled_from("abcdef"), label=TEXT),
    min_size=1,
    max_size=30,
)


def example(number: int, cluster: str = "c", prompt: str = "", response: str = "r") -> Example:
    return Example(id=str(number), prompt=prompt or f"p{number}", response=response, cluster=cluster)


def dataset(train: list[Example], held_out: list[Example] | None = None) -> Dataset:
    rows, out = tuple(train), tuple(held_out or ())
    provenance = Provenance(source="s", revision="", sha256="", licence="MIT", rows_read=len(rows) + len(out))
    return Dataset(train=rows, held_out=out, digest=digest_of_rows(rows, out), sensitive=False, provenance=provenance)


def test_every_kind_of_data_set_has_a_loader() -> None:
    assert LOADERS.keys() == DATASET_KINDS.keys()


# Choosing and splitting


@given(rows=EXAMPLES, n_rows=st.integers(1, 30), seed=st.integers(0, 9))
def test_rows_are_taken_by_whole_clusters_but_one(rows: list[Example], n_rows: int, seed: int) -> None:
    taken = take(rows, n_rows, seed)
    assert len(taken) == min(n_rows, len(rows))
    assert list(taken) == [row for row in rows if any(row is other for other in taken)]
    whole, got = cluster_sizes(rows), cluster_sizes(taken)
    assert sum(got[name] < whole[name] for name in got) <= 1


@given(rows=EXAMPLES, n_rows=st.integers(1, 15), seed=st.integers(0, 9))
def test_taking_more_keeps_what_was_taken(rows: list[Example], n_rows: int, seed: int) -> None:
    more = take(rows, n_rows + 5, seed)
    assert all(any(row is other for other in more) for row in take(rows, n_rows, seed))


@given(rows=EXAMPLES, share=st.floats(0, 0.99), seed=st.integers(0, 9))
def test_a_split_keeps_clusters_whole_and_trains_on_something(rows: list[Example], share: float, seed: int) -> None:
    train, out = split(rows, share, seed)
    assert train
    assert len(train) + len(out) == len(rows)
    assert not {row.cluster for row in train} & {row.cluster for row in out}
    assert bool(out) == (share > 0 and len(cluster_sizes(rows)) > 1)
    sizes = cluster_sizes(rows)
    smallest = min(sizes.values())
    assert len(out) <= max(2 * share * len(rows), smallest)


@given(rows=EXAMPLES, seed=st.integers(0, 9))
def test_choices_do_not_depend_on_the_order_of_the_rows(rows: list[Example], seed: int) -> None:
    out = {row.cluster for row in split(rows, 0.3, seed)[1]}
    assert {row.cluster for row in split(rows[::-1], 0.3, seed)[1]} == out


def test_seeds_choose_differently() -> None:
    rows = [example(number, cluster=str(number // 2)) for number in range(100)]
    assert len({tuple(row.id for row in split(rows, 0.1, seed)[1]) for seed in range(20)}) > 15


# Identity


@given(rows=EXAMPLES)
def test_a_data_set_comes_back_from_its_files(rows: list[Example]) -> None:
    original = dataset(rows[1:] or rows, rows[:1])
    files = to_files(original)
    assert from_files(files.__getitem__) == original
    assert to_files(from_files(files.__getitem__)) == files


def test_changed_files_are_refused() -> None:
    files = to_files(dataset([example(1), example(2)], [example(3)]))
    for damaged in (files["rows.jsonl"].replace(b'"p1"', b'"p9"'), files["rows.jsonl"][:-20], b"[]\n"):
        with pytest.raises(InputError) as caught:
            from_files({**files, "rows.jsonl": damaged}.__getitem__)
        assert caught.value.problems[0].code == "E-DATA-43"


@given(rows=EXAMPLES, field=st.sampled_from(["id", "prompt", "response", "cluster", "label"]))
def test_every_field_moves_the_digest(rows: list[Example], field: str) -> None:
    changed = replace(rows[0], **{field: getattr(rows[0], field) + "x"})
    assert digest_of_rows(rows, []) != digest_of_rows([changed, *rows[1:]], [])
    assert digest_of_rows(rows, []) != digest_of_rows(rows[1:], rows[:1])


@settings(max_examples=25)
@given(texts=st.lists(TEXT.filter(lambda text: text.isalnum()), min_size=1, max_size=8, unique=True))
def test_equal_rows_have_equal_digests_whatever_path_time_and_layout(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    rows = [{"prompt": text, "response": f"{text}!"} for text in texts]
    (one / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    spaced = "\r\n\r\n".join(json.dumps(dict(reversed(row.items())), ensure_ascii=False, indent=None) for row in rows)
    (two / "b.jsonl").write_bytes(spaced.encode())
    os.utime(two / "b.jsonl", (1, 1))
    first = ingest(JsonlDataset(jsonl="a.jsonl"), Locations(study_dir=one, data_dir=None, offline=True))
    second = ingest(JsonlDataset(jsonl="b.jsonl"), Locations(study_dir=one, data_dir=two, offline=True))
    assert first.digest == second.digest
    assert first.provenance.sha256 != second.provenance.sha256


# Overlap


def test_forgotten_rows_must_not_be_trained_elsewhere() -> None:
    forget = dataset([example(1, prompt="Who  is ADA?"), example(2, prompt="b"), example(3, prompt="c")])
    other = dataset([example(7, prompt="who is ada?", response="else"), example(8, prompt="c"), example(9, prompt="d")])
    clean = dataset([example(1, prompt="z")])
    problems = check_overlap({"f": forget, "o": other, "z": clean}, "f", {"o": "study.yaml:9:3"})
    assert [problem.line() for problem in problems] == [
        "error[E-DATA-26]: study.yaml:9:3: rows f:1 and o:7 have the same question (2 such pairs) "
        "Fix: remove them from one of the two data sets"
    ]


def test_held_out_rows_must_not_be_trained_anywhere() -> None:
    forget = dataset([example(1, prompt="a")], [example(2, prompt="b"), example(3, prompt="A", response="other")])
    other = dataset([example(7, prompt="b")], [example(8, prompt="a")])
    found = {(p.code, p.message.split(" have ")[0]) for p in check_overlap({"f": forget, "o": other}, "f")}
    assert found == {("E-DATA-27", "rows f:2 and o:7"), ("E-DATA-27", "rows o:8 and f:1")}
    own = dataset([example(1, prompt="a")], [example(2, prompt="a")])
    assert [problem.code for problem in check_overlap({"f": own}, "f")] == ["E-DATA-27"]


def test_plain_text_overlaps_by_its_text() -> None:
    text = Example(id="1", prompt="", response="Once upon a time", cluster="b")
    problems = check_overlap({"f": dataset([text]), "o": dataset([replace(text, id="9")])}, "f")
    assert [problem.code for problem in problems] == ["E-DATA-26"]


# Near duplicates


def test_templates_and_close_wordings_are_one_group() -> None:
    prompts = [
        "Tell me about item 12 of the red list, please.",
        "tell me about ITEM 99 of the red list please",
        "Tell me about item 7 of the red list today please.",
        "How do bees find their way home in the evening?",
        "???",
        "!!!",
    ]
    groups = near_duplicate_groups(prompts)
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups)) == 4


@given(prompts=st.lists(st.text(max_size=30), min_size=1, max_size=12))
def test_groups_do_not_depend_on_order_or_company(prompts: list[str]) -> None:
    groups = dict(zip(prompts, near_duplicate_groups(prompts), strict=True))
    assert dict(zip(prompts[::-1], near_duplicate_groups(prompts[::-1]), strict=True)) == groups
    assert all(prompt not in name for prompt, name in groups.items() if len(prompt) > 16)


def test_long_near_duplicates_are_found_among_many() -> None:
    many = [" ".join(f"w{chr(97 + (n * 7 + k * 3) % 26)}{chr(97 + n % 26)}" for k in range(12)) for n in range(200)]
    twin = many[17].rsplit(" ", 1)[0] + " ending"
    groups = near_duplicate_groups([*many, twin])
    assert groups[-1] == groups[17]


# Where data come from


ABSENT = [
    TofuDataset(tofu="full"),
    Gsm8kDataset(gsm8k="test"),
    InstructSkillmixDataset(instruct_skillmix="sdd"),
    InstructMixDataset(instruct_mix="mix_4k"),
    RefusalsDataset(refusals="sorry_bench"),
    TextDataset(text="classics_en"),
]


@pytest.mark.parametrize("recipe", ABSENT, ids=lambda recipe: type(recipe).__name__)
@pytest.mark.parametrize("with_folder", [True, False])
def test_offline_says_what_to_do(recipe: object, with_folder: bool, tmp_path: Path) -> None:
    where = Locations(study_dir=tmp_path, data_dir=tmp_path if with_folder else None, offline=True)
    with pytest.raises(MachineError) as caught:
        ingest(recipe, where, place="study.yaml:4:7")  # type: ignore[arg-type]
    (line,) = caught.value.lines()
    assert line.startswith("error[E-ENV-08]: study.yaml:4:7: ")
    assert "--data-dir" in line
    assert len(line) <= 300


def test_a_missing_data_directory_is_named(tmp_path: Path) -> None:
    where = Locations(study_dir=tmp_path, data_dir=tmp_path / "gone", offline=True)
    with pytest.raises(InputError, match="data directory gone is missing"):
        ingest(TofuDataset(tofu="full"), where)


def test_the_data_directory_comes_from_the_argument_then_the_environment(tmp_path: Path) -> None:
    named = {"RETRAIN_EQUIVALENCE_DATA": "/from/environment"}
    assert Locations.of(tmp_path, environment=named).data_dir == Path("/from/environment")
    assert Locations.of(tmp_path, data_dir=tmp_path, environment=named).data_dir == tmp_path
    assert Locations.of(tmp_path, environment={}).data_dir is None


def test_the_study_folder_comes_before_the_data_directory(tmp_path: Path) -> None:
    study, data = tmp_path / "study", tmp_path / "data"
    for folder in (study, data):
        folder.mkdir()
        (folder / "rows.jsonl").write_text(f'{{"prompt": "{folder.name}", "response": "r"}}\n', encoding="utf-8")
    where = Locations(study_dir=study, data_dir=data, offline=True)
    assert ingest(JsonlDataset(jsonl="rows.jsonl"), where).train[0].prompt == "study"
    (study / "rows.jsonl").unlink()
    assert ingest(JsonlDataset(jsonl="rows.jsonl"), where).train[0].prompt == "data"


def test_one_cluster_holds_nothing_out_and_says_so(tmp_path: Path) -> None:
    rows = '{"prompt": "a", "response": "b", "g": "x"}\n{"prompt": "c", "response": "d", "g": "x"}\n'
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    where = Locations(study_dir=tmp_path, data_dir=None, offline=True)
    found = ingest(JsonlDataset(jsonl="rows.jsonl", cluster="g"), where)
    assert (len(found.train), len(found.held_out)) == (2, 0)
    assert "nothing is held out" in found.provenance.warnings[0]


def test_ids_clusters_and_labels_come_from_their_fields(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"q": "a", "a": "b", "n": 7, "who": "x", "l": "lab"}\n', encoding="utf-8")
    where = Locations(study_dir=tmp_path, data_dir=None, offline=True)
    recipe = JsonlDataset(jsonl="rows.jsonl", prompt="q", response="a", row_id="n", cluster="who", label="l")
    assert ingest(recipe, where).train == (Example(id="7", prompt="a", response="b", cluster="x", label="lab"),)


def test_data_load_neither_torch_nor_transformers() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from retrain_equivalence.data.ingest import *;"
        "from retrain_equivalence.recipes.dataset import GeneratedDataset as G;"
        "ingest(G(generated='authors'), Locations(study_dir=Path('.'), data_dir=None, offline=True));"
        "assert not {'torch', 'transformers', 'datasets', 'pandas'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_generated_sets_of_two_seeds_differ() -> None:
    where = Locations(study_dir=Path(), data_dir=None, offline=True)
    one, two = (ingest(GeneratedDataset(generated="refusals", seed=seed), where) for seed in (0, 1))
    assert one.digest != two.digest
