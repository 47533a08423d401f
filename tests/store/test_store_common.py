"""What every store promises; one suite over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrain_equivalence.core.errors import StoreError
from retrain_equivalence.core.identity import Digest, Key, digest_of_bytes, key_of
from retrain_equivalence.store.base import Artifact, Store
from retrain_equivalence.store.checkpoints import Checkpoints, discard_checkpoints
from retrain_equivalence.store.local import LocalStore, open_store
from retrain_equivalence.store.memory import MemoryStore

MAKERS: dict[str, Callable[[Path], Store]] = {
    "local": lambda path: LocalStore(path / "store"),
    "memory": lambda path: MemoryStore(),
}


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MAKERS[request.param](tmp_path)


def put(
    store: Store,
    recipe: Any,
    files: Mapping[str, bytes | Path],
    *,
    kind: str = "stage",
    parents: Mapping[Key, Digest] | None = None,
    made: Mapping[str, float | int | str] | None = None,
) -> Artifact:
    given = parents or {}
    key = key_of(kind, recipe, list(given))
    return store.put(key, kind=kind, recipe=recipe, parents=given, files=files, made=made)


def test_what_is_put_is_got(store: Store, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"w" * 3_000_000)
    parent = put(store, {"n": 0}, {"x": b"parent"})
    parents = {parent.manifest.key: parent.manifest.digest}
    files: dict[str, bytes | Path] = {"a.json": b"{}", "empty": b"", "model.safetensors": tmp_path / "weights"}
    key = put(store, {"n": 1}, files, parents=parents, made={"seconds": 1.5}).manifest.key

    found = store.get(key)

    assert store.has(key)
    assert found.manifest.parents == tuple(parents.items())
    assert found.manifest.recipe == {"n": 1}
    assert found.manifest.made == {"seconds": 1.5}
    assert found.manifest.files["empty"] == (0, digest_of_bytes(b""))
    assert found.read("model.safetensors") == b"w" * 3_000_000
    assert found.path("a.json").read_bytes() == b"{}"
    assert found.path("a.json") == found.path("a.json")


def test_absent_is_absent(store: Store) -> None:
    key = key_of("stage", {"n": 1})
    assert not store.has(key)
    with pytest.raises(StoreError, match="E-STORE-04"):
        store.get(key)
    store.discard(key)


def test_an_unlisted_file_is_no_file(store: Store) -> None:
    found = put(store, {"n": 1}, {"x": b"x"})
    with pytest.raises(KeyError, match="has no file 'y'"):
        found.read("y")
    with pytest.raises(KeyError, match="has no file 'y'"):
        found.path("y")


def test_the_digest_is_of_the_files_alone(store: Store) -> None:
    one = put(store, {"n": 1}, {"x": b"x", "y": b"y"}, made={"seconds": 1})
    two = put(store, {"n": 2}, {"y": b"y", "x": b"x"}, made={"seconds": 2})
    swapped = put(store, {"n": 3}, {"x": b"y", "y": b"x"})
    assert one.manifest.digest == two.manifest.digest != swapped.manifest.digest


def test_an_equal_result_is_dropped_and_another_refused(store: Store) -> None:
    first = put(store, {"n": 1}, {"x": b"x"}, made={"seconds": 1})
    assert put(store, {"n": 1}, {"x": b"x"}, made={"seconds": 2}).manifest.digest == first.manifest.digest
    with pytest.raises(StoreError, match="E-STORE-06"):
        put(store, {"n": 1}, {"x": b"z"})
    assert store.get(first.manifest.key).read("x") == b"x"
    assert store.get(first.manifest.key).manifest.made == {"seconds": 1}


def test_a_child_of_another_result_is_refused(store: Store) -> None:
    parent = put(store, {"n": 0}, {"x": b"one"}).manifest
    child = put(store, {"n": 1}, {"x": b"x"}, parents={parent.key: parent.digest}).manifest
    store.discard(parent.key)
    store.get(child.key)
    put(store, {"n": 0}, {"x": b"two"})
    with pytest.raises(StoreError, match="E-STORE-06"):
        store.get(child.key)


def test_a_key_that_does_not_fit_is_a_bug(store: Store) -> None:
    with pytest.raises(ValueError, match="give the key"):
        store.put(key_of("stage", {"n": 2}), kind="stage", recipe={"n": 1}, parents={}, files={})
    with pytest.raises(ValueError, match="give the key"):
        store.put(key_of("stage", {"n": 1}), kind="probe", recipe={"n": 1}, parents={}, files={})


@pytest.mark.parametrize(
    "name",
    ["manifest.json", "", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "-rf", ".hidden", "a b", "x\0", "ä", "~",
     "$(id)", "%2e%2e", "x" * 101, "a\n"],
)  # fmt: skip
def test_hostile_file_names_are_refused(store: Store, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a file name"):
        put(store, {"n": 1}, {name: b"x"})
    assert not list(store.keys())
    assert not (tmp_path / "x").exists()


def test_keys_are_sorted_and_discarded_ones_gone(store: Store) -> None:
    made = [put(store, {"n": n}, {"x": b"x"}).manifest.key for n in range(20)]
    assert list(store.keys()) == sorted(made)
    store.discard(made[3])
    assert list(store.keys()) == sorted(made[:3] + made[4:])
    put(store, {"n": 3}, {"x": b"x"})
    assert store.has(made[3])


def test_manifests_of_a_kind(store: Store) -> None:
    put(store, {"n": 1}, {"x": b"x"})
    put(store, {"n": 2}, {"x": b"x"}, kind="probe")
    assert [found.recipe for found in store.manifests("probe")] == [{"n": 2}]
    assert len(list(store.manifests())) == 2


def test_size_is_what_lies_there(store: Store) -> None:
    assert store.size() == 0
    put(store, {"n": 1}, {"x": b"x" * 1000})
    one = store.size()
    assert 1000 < one < 2000
    put(store, {"n": 2}, {"x": b"x" * 1000})
    assert store.size() == 2 * one


def test_a_sound_store_verifies(store: Store) -> None:
    parent = put(store, {"n": 0}, {"x": b"x"}).manifest
    put(store, {"n": 1}, {"x": b"x"}, parents={parent.key: parent.digest})
    assert list(store.verify()) == []


def test_a_claim_is_exclusive_until_released(store: Store) -> None:
    key = key_of("stage", {"n": 1})
    with store.in_use():
        assert store.claim(key) is None
        holder = store.claim(key)
        assert holder is not None
        assert not holder.foreign
        store.release(key)
        store.release(key)
        assert store.claim(key) is None
        store.release(key)
    assert store.abandoned() == frozenset()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    recipe=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    data=st.binary(max_size=64),
)
def test_any_recipe_and_bytes_come_back(store: Store, recipe: Any, data: bytes) -> None:
    made = put(store, recipe, {"x": data})
    found = store.get(made.manifest.key)
    assert (found.manifest.recipe, found.read("x")) == (recipe, data)
    store.discard(found.manifest.key)


def test_checkpoints_leave_one_and_then_none(store: Store) -> None:
    task = put(store, {"n": 1}, {"x": b"x"}).manifest.key
    checkpoints = Checkpoints(store, task, n_steps=10)
    assert checkpoints.newest() is None
    for step in (2, 5, 7):
        checkpoints.save(step, {"state": str(step).encode()})
        assert len(list(store.manifests("checkpoint"))) == 1
    again = Checkpoints(store, task, n_steps=10)
    newest = again.newest()
    assert newest is not None
    assert (newest[0], newest[2]) == (7, {"state": b"7"})
    again.save(9, {"state": b"9"})
    assert len(list(store.manifests("checkpoint"))) == 1
    again.clear()
    assert list(store.keys()) == [task]


def test_only_the_named_tasks_lose_their_checkpoints(store: Store) -> None:
    one, two = key_of("stage", {"n": 1}), key_of("stage", {"n": 2})
    Checkpoints(store, one, 3).save(1, {"x": b"x"})
    Checkpoints(store, two, 3).save(1, {"x": b"x"})
    discard_checkpoints(store, [one])
    assert [found.recipe["of"] for found in store.manifests("checkpoint")] == [two]


def test_open_store_takes_path_then_variable_then_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_EQUIVALENCE_STORE", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert open_store(tmp_path / "given").root == tmp_path / "given"
    assert open_store().root == tmp_path / "named"
    monkeypatch.delenv("RETRAIN_EQUIVALENCE_STORE")
    assert open_store().root.is_relative_to(tmp_path / "cache")
