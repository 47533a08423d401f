"""Every verb, in this process: answers on stdout, one JSON document with --json, remarks on stderr."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import small_study

from retrain_equivalence.cli import app
from retrain_equivalence.store.local import LocalStore


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Say = Callable[..., Said]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Say:
    """Type a command line; the store is a fresh one unless the words name another."""
    monkeypatch.setenv("RETRAIN_EQUIVALENCE_STORE", str(tmp_path / "own store"))
    monkeypatch.setenv("COLUMNS", "200")

    def typed(*words: object) -> Said:
        monkeypatch.setattr("sys.argv", ["retrain-equivalence", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return Said(int(ended.value.code or 0), captured.out, captured.err)

    return typed


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small study: `store` and `out`."""
    root = tmp_path_factory.mktemp("cli")
    small_study.run_small(root, *small_study.BARE)
    return root


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of the small study with three replicates, which give a distance an interval, and a verdict."""
    return small_study.run_small(
        tmp_path_factory.mktemp("judged"),
        "replicates=3",
        "oracle_replicates=0",
        "unlearnings=[{name: ga, objective: ga}]",
        "probes=[{prediction: safety, items: 3, positions: 2}]",
        "comparisons=[{contrast: path_gap, probe: prediction, margin: {value: 0.01, rationale: small}}]",
    )


SMALL = str(small_study.FILE)
SETS = [word for override in small_study.BARE for word in ("--set", override)]


def test_validate(say: Say) -> None:
    said = say("validate", SMALL)
    assert said.code == 0
    assert "small is valid" in said.out
    found = say("validate", SMALL, "--json").document
    assert found["valid"] is True
    assert found["datasets"]["safety"]["train"] > 0


def test_plan(say: Say, done: Path) -> None:
    said = say("plan", SMALL, *SETS, "--store", done / "store")
    assert said.code == 0
    assert "stage trainings per replicate" in said.out
    assert "nothing" in said.out or "0 s" in said.out
    found = say("plan", SMALL, *SETS, "--store", done / "store", "--json").document
    assert all(kind["cached"] == kind["tasks"] for kind in found["kinds"])
    fresh = say("plan", SMALL, "--json").document
    assert all(kind["cached"] == 0 for kind in fresh["kinds"])
    assert fresh["wall"] is None


def test_plan_as_json_says_what_the_tables_say(say: Say) -> None:
    found = say("plan", SMALL, "--json").document
    assert found["tree"] == {"(base)": {"facts": {"sums": {"safety": {}}}, "safety": {"facts": {"sums": {}}}}}
    # Five nodes of the tree and an oracle that is one of them; alone, two histories and the oracle take 3 + 3 + 2.
    assert found["sharing"] == {"shared": 6, "naive": 8}
    assert [stage["name"] for stage in found["stages"]] == ["facts", "sums", "safety"]
    assert all(stage[name] > 0 for stage in found["stages"] for name in ("rows", "tokens", "steps", "trainings"))
    assert found["pilot"] is None


def test_plan_of_an_empty_store_says_about_how_much_disk_states_take(say: Say) -> None:
    disk = {entry["kind"]: entry for entry in say("plan", SMALL, "--json").document["kinds"]}
    assert disk["stage"]["disk_from_shapes"]
    assert disk["stage"]["disk"] > 0
    assert disk["probe"]["disk"] is None
    assert re.search(r"stage .*≈ \d", say("plan", SMALL).out)


def test_plan_with_a_pilot(say: Say, judged: Path, done: Path) -> None:
    said = say("plan", SMALL, "--pilot", judged)
    assert said.code == 0, said.err
    assert re.search(
        r"forget: 2 replicates detect a path gap of [\d.e+-]+ .*\(sd [\d.e+-]+, the largest of \d+, ", said.out
    )
    gaps = say("plan", SMALL, "--pilot", judged, "--json").document["pilot"]
    assert {gap["test_set"] for gap in gaps} >= {"forget", "held_out"}
    more = say("plan", SMALL, "--set", "replicates=8", "--pilot", judged, "--json").document["pilot"]
    assert all(b["detectable"] < a["detectable"] for a, b in zip(gaps, more, strict=True))
    assert "no distance with an interval" in say("plan", SMALL, "--pilot", done / "out").out


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_looking_makes_no_store(say: Say, tmp_path: Path, verb: str) -> None:
    assert say(verb, SMALL).code == 0
    assert not (tmp_path / "own store").exists()


@pytest.mark.parametrize(
    "words",
    [["ls"], ["verify"], ["gc", "results"], ["export", "ab", "hf"], ["unlock", "ab"]],
    ids=lambda words: words[0],
)
def test_store_verbs_need_a_store(say: Say, tmp_path: Path, words: list[str]) -> None:
    said = say("store", *words)
    assert (said.code, said.out, len(said.err.splitlines())) == (6, "", 1)
    assert "no store here" in said.err
    assert not (tmp_path / "own store").exists()
    (tmp_path / "own store").mkdir()
    assert say("store", *words).code == 6
    assert not any((tmp_path / "own store").iterdir())


@pytest.mark.parametrize("verb", ["run", "plan", "status"])
def test_a_gpu_that_is_not_there_is_refused_first(
    say: Say, tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrain_equivalence.execution.gpu.DRIVER", tmp_path / "no driver")
    monkeypatch.setenv("PATH", str(tmp_path))
    out = ["--out", tmp_path / "out"] if verb == "run" else []
    said = say(verb, SMALL, "--device", "cuda", *out)
    assert (said.code, said.out, len(said.err.splitlines())) == (6, "", 1)
    assert re.match(r"error\[E-ENV-06\]: .* Fix: .*--device cpu", said.err)
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_torch_cannot_use_is_refused_before_the_first_task(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrain_equivalence.execution.gpu.DRIVER", tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert say("plan", SMALL, "--device", "cuda").code == 0, "a plan loads no torch"
    said = say("run", SMALL, "--device", "cuda", "--out", tmp_path / "out")
    assert (said.code, said.out) == (6, "")
    assert re.search(r"E-ENV-06.*Fix: install the CUDA build of torch, or use --device cpu", said.err)
    assert not (tmp_path / "out").exists()
    store = LocalStore(tmp_path / "own store")
    assert not list(store.keys())


def test_plan_measures_on_request(say: Say) -> None:
    found = say("plan", SMALL, "--measure", "--json").document
    assert found["wall"] > 0


def test_status(say: Say, done: Path) -> None:
    found = say("status", SMALL, *SETS, "--store", done / "store", "--json").document
    assert all(entry["done"] == entry["all"] for entry in found["tasks"].values())
    assert all(entry["done"] == 0 for entry in say("status", SMALL, "--json").document["tasks"].values())
    assert "unlearn" in say("status", SMALL).out


def test_run_again_says_what_is_reused(say: Say, done: Path, tmp_path: Path) -> None:
    said = say("run", SMALL, *SETS, "--store", done / "store", "--out", tmp_path / "out", "--workers", 0)
    assert said.code == 0, said.err
    assert re.search(r"small: (\d+) tasks, \1 reused, 0 to do; nothing is left to do", said.err)
    assert str(tmp_path / "out" / "report.html") in said.out
    assert "tasks" not in said.out, "progress is not the answer"
    assert small_study.answers(tmp_path / "out") == small_study.answers(done / "out")


def test_run_of_a_grown_study_says_how_long_the_rest_takes(say: Say, done: Path, tmp_path: Path) -> None:
    root = tmp_path / "grown"
    shutil.copytree(done / "store", root / "store")
    more = [*SETS[:-2], "--set", "oracle_replicates=1", "--store", root / "store", "--out", root / "out"]
    said = say("run", SMALL, *more, "--workers", 0)
    assert said.code == 0, said.err
    assert re.search(r"reused, \d+ to do; about \d+ s on 1 workers? \(rates of this store\)", said.err), said.err


def test_compare_and_report(say: Say, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done / "out", out)
    for name in ("findings.json", "summary.csv", "report.html"):
        (out / name).unlink(missing_ok=True)
    said = say("compare", out)
    assert said.code == 0
    assert small_study.answers(out) == small_study.answers(done / "out")
    assert isinstance(say("compare", out, "--json").document, list)
    assert say("report", out).out.strip() == str(out / "report.html")
    assert (out / "report.html").is_file()
    # No comparison was declared, so no verdict is the one that was asked for.
    assert say("compare", out, "--fail-on", "EQUIVALENT").code == 9
    assert say("compare", out, "--fail-on", "equivalent").code == 9


def test_fail_on_takes_a_verdict(say: Say, judged: Path) -> None:
    # Three replicates decide no distance, so every verdict of this folder is known.
    assert say("compare", judged, "--fail-on", "Inconclusive").code == 0
    assert say("compare", judged, "--fail-on", "DIFFERENT").code == 9
    said = say("compare", judged, "--fail-on", "SAME")
    assert (said.code, said.out, len(said.err.splitlines())) == (2, "", 1)


def test_a_folder_that_is_not_there_is_no_study_either(say: Say, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for verb in ("compare", "report"):
        said = say(verb, tmp_path / "nowhere")
        assert (said.code, "no results folder there" in said.err, "bundled" in said.err) == (4, True, False)
        assert say(verb, tmp_path / "empty").code == 4
    assert say("plan", SMALL, "--pilot", tmp_path / "nowhere").code == 4
    assert not any((tmp_path / "empty").iterdir())


@pytest.mark.parametrize(
    "kind", ["objectives", "datasets", "models", "probes", "orderings", "contrasts", "studies", "distances"]
)
def test_list(say: Say, kind: str) -> None:
    said = say("list", kind)
    assert said.code == 0, said.err
    found = say("list", kind, "--json").document
    assert found
    assert all(name in said.out for name in found)


def test_list_says_what_a_contrast_is_and_which_models_are_allowed(say: Say) -> None:
    contrasts = say("list", "contrasts", "--json").document
    assert all(re.fullmatch(r"[A-Z].{20,}\.", entry["what"]) for entry in contrasts.values())
    assert len({entry["what"] for entry in contrasts.values()}) == len(contrasts) == 11
    models = say("list", "models", "--json").document
    for kind in ("hub", "path"):
        assert {"llama", "qwen2", "smollm3"} <= set(models[kind]["sizes or model types"].split(", "))
    assert models["tiny"]["sizes or model types"] == "nano, micro, tiny"


def test_list_names_what_an_objective_needs(say: Say) -> None:
    found = say("list", "objectives", "--json").document
    assert found["npo"]["needs"] == "forget, reference"
    assert found["npo"]["local"] == "yes"
    assert "beta" in found["npo"]["defaults"]
    assert set(found) >= {"nll", "ga", "npo", "simnpo", "simnpo_sequence"}


PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar
from retrain_equivalence.objectives.base import POLICY_LOGPS, Per, Terms

@dataclass(frozen=True, slots=True, kw_only=True)
class Halved:
    """Half of gradient ascent."""
    name: ClassVar[str] = "halved"
    passes: ClassVar = (POLICY_LOGPS,)
    per: ClassVar = Per.TOKEN
    cite: ClassVar[str] = "none"
    share: float = 0.5

    def __call__(self, seen):
        observed = seen[POLICY_LOGPS]
        total = self.share * (observed.values_BT * observed.mask_BT).sum()
        return Terms(total=total, count=int(observed.mask_BT.sum()), per=Per.TOKEN)

OBJECTIVES = [Halved]
'''


def test_a_plugin_through_every_verb(say: Say, tmp_path: Path) -> None:
    """Workers load it too; afterwards it is locked by its source."""
    plugin = tmp_path / "halved.py"
    plugin.write_text(PLUGIN)
    with_it = ["--plugin", plugin]
    sets = [*SETS, "--set", "unlearnings=[{name: half, objective: halved}]"]
    assert say("validate", SMALL, *sets).code == 3
    assert say("validate", SMALL, *sets, *with_it).code == 0
    assert "halved" in say("list", "objectives", *with_it).out
    out = tmp_path / "out"
    said = say("run", SMALL, *sets, *with_it, "--out", out, "--workers", 1)
    assert said.code == 0, said.err
    assert "halved@" in (out / "study.lock.yaml").read_text()
    for verb in ("compare", "report"):
        assert say(verb, out, *with_it).code == 0


def test_init_writes_a_study_that_loads_and_never_overwrites(say: Say, tmp_path: Path) -> None:
    said = say("init", tmp_path / "new")
    path = Path(said.out.strip())
    assert path == tmp_path / "new" / "study.yaml"
    text = path.read_text()
    assert text.count("#") > 5, "commented"
    assert say("validate", path).code == 0
    assert say("plan", path).code == 0
    again = say("init", tmp_path / "new")
    assert (again.code, "E-CFG-90" in again.err) == (3, True)
    assert path.read_text() == text


def test_doctor(say: Say, tmp_path: Path) -> None:
    said = say("doctor")
    assert said.code == 0, said.out
    assert "torch" in said.out
    found = say("doctor", "--json").document
    assert {check["state"] for check in found} <= {"ok", "warn"}
    (tmp_path / "file").write_text("")
    assert say("doctor", "--store", tmp_path / "file").code == 6


def test_explain(say: Say) -> None:
    assert say("explain", "e-data-03").out.startswith("E-DATA-03: ")
    said = say("explain", "E-DTA-03")
    assert (said.code, "did you mean E-DATA-03?" in said.err) == (2, True)
    said = say("explain", "E-XX-99")
    assert (said.code, len(said.err.splitlines())) == (2, 1)


def test_schema_is_a_json_schema(say: Say) -> None:
    import jsonschema

    found = say("schema").document
    jsonschema.Draft202012Validator.check_schema(found)
    assert "stages" in found["properties"]


def test_cite(say: Say) -> None:
    assert say("cite", "quickstart").out.count("@") >= 3


def test_store_ls_and_verify(say: Say, done: Path) -> None:
    listed = say("store", "ls", "--store", done / "store", "--json").document
    assert {entry["kind"] for entry in listed} == {"base", "dataset", "probe", "stage", "unlearn"}
    assert len(say("store", "ls", "--store", done / "store").out.splitlines()) == len(listed)
    said = say("store", "verify", "--store", done / "store")
    assert (said.code, said.out) == (0, f"{len(listed)} objects, all whole\n")


def test_store_verify_finds_damage(say: Say, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "store", tmp_path / "store")
    stage = next(LocalStore(tmp_path / "store").manifests("stage"))
    path = tmp_path / "store" / "objects" / stage.key[:2] / stage.key / "model.safetensors"
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    said = say("store", "verify", "--store", tmp_path / "store")
    assert said.code == 5
    assert re.match(r"error\[E-STORE-02\]: .*Fix: ", said.err)


def test_store_export(say: Say, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = next(task.key for task in small_study.planned(*small_study.BARE).tasks if task.kind == "unlearn")
    said = say("store", "export", key[:20], tmp_path / "hf", "--results", done / "out", "--store", done / "store")
    assert said.code == 0, said.err
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in (tmp_path / "hf").iterdir()}
    # Without --results, the results/ folder here is looked through.
    monkeypatch.chdir(tmp_path)
    shutil.copytree(done / "out", tmp_path / "results" / "small")
    assert say("store", "export", key, tmp_path / "two", "--store", done / "store").code == 0
    assert say("store", "export", "f" * 20, tmp_path / "no", "--store", done / "store").code == 3


def test_store_gc_keeps_what_a_named_study_needs(say: Say, done: Path, tmp_path: Path) -> None:
    root = tmp_path / "gc"
    shutil.copytree(done / "store", root / "store")
    small_study.run_small(root, *small_study.BARE[:-1], "oracle_replicates=1")
    where = ["--store", root / "store"]
    before = set(small_study.digests(root))
    said = say("store", "gc", done / "out", *where, "--dry-run")
    assert "would go" in said.out
    assert set(small_study.digests(root)) == before
    assert "0 objects" in say("store", "gc", root / "out", *where).out
    assert say("store", "gc", done / "out", *where).code == 0
    assert set(small_study.digests(root)) == set(small_study.digests(done)) < before
    assert "0 objects (0 B) moved to the trash" in say("store", "gc", done / "out", *where).out
    assert say("store", "verify", *where).code == 0


def test_store_unlock(say: Say, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    key = "ab" * 32
    (store.root / "leases" / f"{key}.json").write_text("{}")
    where = ["--store", store.root]
    assert say("store", "unlock", "cd", *where).code == 3
    said = say("store", "unlock", key[:8], *where)
    assert (said.code, said.out) == (0, f"{key} is free\n")
    assert not list((store.root / "leases").glob("*.json"))


def test_errors_are_one_line_each_and_objects_with_json(say: Say, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        small_study.FILE.read_text().replace("objective: ga", "objective: gaa").replace("seed: 3", "sede: 3")
    )
    said = say("validate", path)
    assert said.code == 3
    assert said.out == ""
    assert len(said.err.splitlines()) == 2
    assert all(
        re.match(r"error\[E-CFG-\d\d\]: .*wrong\.yaml:\d+:\d+: .* Fix: ", line) for line in said.err.splitlines()
    )
    found = say("validate", path, "--json")
    assert (found.code, len(found.document["errors"])) == (3, 2)
    assert found.err == said.err


def test_a_bug_is_one_line_and_its_traceback_only_on_request(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrain_equivalence.study.schema.schema", lambda: 1 / 0)
    said = say("schema")
    assert said.code == 1
    assert re.fullmatch(r"error\[E-BUG\]: ZeroDivisionError: .* Fix: run again with --debug .*\n", said.err)
    monkeypatch.setattr("sys.argv", ["retrain-equivalence", "schema", "--debug"])
    with pytest.raises(ZeroDivisionError):
        app.main()


@pytest.mark.parametrize(
    "words",
    [
        ["frob"],
        ["run"],
        ["plan", "x", "--workers", "many"],
        ["run", "x", "--device", "tpu"],
        ["--frob"],
        ["list", "foo"],
        ["explain", "E-XX-99"],
        ["compare", "x", "--fail-on", "SAME"],
    ],
)
def test_usage_errors_are_one_line(say: Say, words: list[str]) -> None:
    said = say(*words)
    assert (said.code, said.out) == (2, "")
    assert re.fullmatch(r"error: .*\. Fix: see retrain-equivalence.* --help\n", said.err)


def test_help_shows_what_stands_in_brackets(say: Say) -> None:
    assert "[results/<study>]" in say("run", "--help").out
    assert "RETRAIN_EQUIVALENCE_STORE" in say("plan", "--help").out
    assert "[looked for in results/]" in " ".join(say("store", "export", "--help").out.split())


def test_help_names_every_verb_and_exit_code(say: Say) -> None:
    said = say("--help")
    assert said.code == 0
    for verb in ("run", "plan", "validate", "compare", "report", "status", "list", "init", "doctor", "explain",
                 "schema", "cite", "store"):  # fmt: skip
        assert verb in said.out
    for code in ("0 done", "2 usage", "3 study", "4 data", "5 store", "6 machine", "7 busy", "8 partly", "9 --fail-on",
                 "129/130/143"):  # fmt: skip
        assert code in " ".join(said.out.split())
    assert say("--version").out.strip()


def test_validate_says_what_it_could_not_check_and_what_is_doubtful(say: Say, tmp_path: Path) -> None:
    sentence = "Row lengths are checked against the tokenizer at the start of run."
    said = say("validate", SMALL)
    assert sentence not in said.out
    assert "warning[E-CFG-38]" in said.err, "two replicates decide little"
    lines = "\n".join(f"Line {i} of a text that serves no stage, long enough to be cut." for i in range(40))
    (tmp_path / "own.txt").write_text(lines, encoding="utf-8")
    pretraining = f"{{dataset: {{text: '{tmp_path / 'own.txt'}'}}, training: {{learning_rate: 1e-3, max_steps: 1}}}}"
    said = say("validate", SMALL, "--set", f"model.pretraining={pretraining}")
    assert said.code == 0, said.err
    assert sentence in said.out
