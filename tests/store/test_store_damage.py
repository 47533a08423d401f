"""Damage of every kind of file: always noticed, never loaded, never deleted."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from retrain_equivalence.core.errors import Problem, StoreError
from retrain_equivalence.core.identity import Key, key_of
from retrain_equivalence.store import manifest as manifests
from retrain_equivalence.store.base import Manifest
from retrain_equivalence.store.local import LocalStore
from retrain_equivalence.store.manifest import MANIFEST

FILES: dict[str, bytes] = {
    "model.safetensors": bytes(range(256)) * 8,
    "log.json": b'{"steps":[1,2,3]}',
    "empty.txt": b"",
}


class Place:
    """A store with one object, and the means to damage it."""

    def __init__(self, root: Path, *, rebuild: bool = True) -> None:
        self.warnings: list[Problem] = []
        self.store = LocalStore(root, rebuild=rebuild, warn=self.warnings.append)
        self.key = self.put(1)

    def put(self, n: int) -> Key:
        key = key_of("stage", {"n": n})
        self.store.put(key, kind="stage", recipe={"n": n}, parents={}, files=FILES)
        return key

    def folder(self, key: Key | None = None) -> Path:
        found = self.store.root / "objects" / (key or self.key)[:2] / (key or self.key)
        found.chmod(0o755)
        return found

    def load_all(self) -> dict[str, bytes]:
        """What a reader does: it gets everything right, or `StoreError`."""
        found = self.store.get(self.key)
        return {name: found.read(name) for name in found.manifest.files}


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def flips(data: bytes, n: int, seed: str) -> list[bytes]:
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        bits = bytearray(data)
        position = rng.randrange(len(bits) * 8)
        bits[position // 8] ^= 1 << position % 8
        found.append(bytes(bits))
    return found


@pytest.mark.parametrize("name", [MANIFEST, "model.safetensors", "log.json"])
@pytest.mark.parametrize("kind", ["flip", "cut", "append", "zero"])
def test_changed_bytes_are_always_noticed(tmp_path: Path, name: str, kind: str) -> None:
    place = Place(tmp_path, rebuild=False)
    path = place.folder() / name
    data = path.read_bytes()
    damaged = {
        "flip": flips(data, 100, name),
        "cut": [data[: len(data) * n // 20] for n in range(20)] + [data[:-1]],
        "append": [data + b"\0", data + data, data + b"\n"],
        "zero": [bytes(len(data))],
    }[kind]
    for bad in damaged:
        overwrite(path, bad)
        assert list(place.store.verify()), "verify must see it"
        with pytest.raises(StoreError, match=r"E-STORE-0[1-5]"):
            place.load_all()
    overwrite(path, data)
    assert list(place.store.verify()) == []
    assert place.load_all() == FILES


@pytest.mark.parametrize("name", ["model.safetensors", "log.json"])
def test_a_mapped_file_is_checked_as_well(tmp_path: Path, name: str) -> None:
    place = Place(tmp_path)
    path = place.folder() / name
    artifact = place.store.get(place.key)
    assert artifact.path(name) == path
    overwrite(path, flips(path.read_bytes(), 1, "x")[0])
    with pytest.raises(StoreError, match="E-STORE-02"):
        artifact.path(name)


def swap(place: Place) -> None:
    other = place.put(2)
    one, two = place.folder(), place.folder(other)
    one.rename(one.parent / "x")
    two.rename(one)
    (one.parent / "x").rename(two)


def replace_manifest(change: Callable[[Manifest], Manifest]) -> Callable[[Place], None]:
    def damage(place: Place) -> None:
        found = place.store.get(place.key).manifest
        overwrite(place.folder() / MANIFEST, manifests.encode(change(found)))

    return damage


def changed(found: Manifest, **fields: object) -> Manifest:
    kept = {name: getattr(found, name) for name in Manifest.__slots__}
    return Manifest(**{**kept, **fields})


def another_body(place: Place, **fields: object) -> None:
    """A manifest with a right seal over fields that `encode` would never write."""
    path = place.folder() / MANIFEST
    body = json.loads(path.read_bytes())["manifest"] | fields
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    sha = manifests.hashlib.sha256(text).hexdigest().encode()
    overwrite(path, b'{"manifest":' + text + b',"sha256":"' + sha + b'"}\n')


def huge_manifest(place: Place) -> None:
    path = place.folder() / MANIFEST
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(2**30)


DAMAGES: dict[str, tuple[str, Callable[[Place], None]]] = {
    "file deleted": ("04", lambda place: (place.folder() / "log.json").unlink()),
    "manifest deleted": ("04", lambda place: (place.folder() / MANIFEST).unlink()),
    "all files deleted": ("04", lambda place: [p.unlink() for p in place.folder().iterdir()] and None),
    "unlisted file": ("05", lambda place: (place.folder() / "extra").write_bytes(b"x") and None),
    "unlisted folder": ("05", lambda place: (place.folder() / "extra").mkdir()),
    "file is a link": ("05", lambda place: link(place, "log.json")),
    "manifest is a link": ("05", lambda place: link(place, MANIFEST)),
    "file is a pipe": ("05", lambda place: pipe(place, "log.json")),
    "manifest is a pipe": ("05", lambda place: pipe(place, MANIFEST)),
    "object is a file": ("05", lambda place: place_file(place)),
    "object is a link": ("05", lambda place: link_object(place)),
    "swapped with another": ("03", swap),
    "manifest of another recipe": ("03", replace_manifest(lambda m: changed(m, recipe={"n": 2}))),
    "manifest of another kind": ("03", replace_manifest(lambda m: changed(m, kind="probe"))),
    "manifest of other parents": ("03", replace_manifest(lambda m: changed(m, parents=((m.key, m.digest),)))),
    "manifest with another digest": ("02", replace_manifest(lambda m: changed(m, digest=m.key))),
    "manifest leads out": ("02", lambda place: another_body(place, files={"../../x": [1, "0" * 64]})),
    "manifest names an absolute path": ("02", lambda place: another_body(place, files={"/etc/passwd": [1, "0" * 64]})),
    "manifest with a negative size": ("02", lambda place: another_body(place, files={"x": [-1, "0" * 64]})),
    "manifest of a newer format": ("02", lambda place: another_body(place, format=2)),
    "manifest without a field": ("02", lambda place: another_body(place, files=None)),
    "manifest of one gigabyte": ("05", huge_manifest),
}


def link(place: Place, name: str) -> None:
    path = place.folder() / name
    target = place.store.root / "elsewhere"
    path.rename(target)
    path.symlink_to(target)


def pipe(place: Place, name: str) -> None:
    path = place.folder() / name
    path.unlink()
    os.mkfifo(path)


def place_file(place: Place) -> None:
    shutil.rmtree(place.folder())
    (place.store.root / "objects" / place.key[:2] / place.key).write_bytes(b"x")


def link_object(place: Place) -> None:
    folder = place.folder()
    target = place.store.root / "elsewhere"
    folder.rename(target)
    folder.symlink_to(target)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.timeout(20)
def test_damage_is_refused_by_name_and_nothing_is_moved(tmp_path: Path, damage: str) -> None:
    code, do = DAMAGES[damage]
    place = Place(tmp_path / "store", rebuild=False)
    do(place)
    before = sorted(map(str, tmp_path.rglob("*")))
    with pytest.raises(StoreError, match=f"E-STORE-{code}"):
        place.store.has(place.key)
    with pytest.raises(StoreError, match=f"E-STORE-{code}"):
        place.load_all()
    assert [found for found in place.store.verify() if found.key == place.key]
    assert sorted(map(str, tmp_path.rglob("*"))) == before


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.timeout(20)
def test_damage_goes_to_quarantine_and_is_made_again(tmp_path: Path, damage: str) -> None:
    code, do = DAMAGES[damage]
    place = Place(tmp_path / "store")
    for n in range(2):
        do(place)
        if damage.startswith("swapped"):
            # The other one of the pair is damaged as well; a reader of it finds out by itself.
            assert not place.store.has(key_of("stage", {"n": 2}))
        assert not place.store.has(place.key)
        assert place.warnings[-1].code == f"E-STORE-{code}"
        assert place.warnings[-1].severity == "warning"
        assert "moved to quarantine" in place.warnings[-1].line()
        assert os.path.lexists(tmp_path / "store" / "quarantine" / f"{place.key}-{n}")
        assert place.put(1) == place.key
        assert place.load_all() == FILES
        clear(tmp_path / "store" / "elsewhere")
    assert list(place.store.verify()) == []


def clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def test_damage_met_while_reading_is_an_error_and_then_absent(tmp_path: Path) -> None:
    place = Place(tmp_path)
    artifact = place.store.get(place.key)
    path = place.folder() / "model.safetensors"
    overwrite(path, flips(path.read_bytes(), 1, "y")[0])
    assert place.store.has(place.key), "bytes are checked when they are read"
    with pytest.raises(StoreError, match=r"moved to quarantine\. Fix: run again"):
        artifact.read("model.safetensors")
    assert not place.store.has(place.key)
    with pytest.raises(StoreError, match="E-STORE-04"):
        artifact.read("log.json")


def test_put_over_damage_replaces_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (place.folder() / MANIFEST).unlink()
    place.put(1)
    assert place.load_all() == FILES
    assert len(list((tmp_path / "quarantine").iterdir())) == 1


def test_put_over_an_empty_folder_replaces_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    shutil.rmtree(place.folder())
    (tmp_path / "objects" / place.key[:2] / place.key).mkdir()
    place.put(1)
    assert place.load_all() == FILES


def test_a_different_result_is_kept_as_evidence(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with pytest.raises(StoreError, match="E-STORE-06"):
        place.store.put(place.key, kind="stage", recipe={"n": 1}, parents={}, files={"x": b"other"})
    (evidence,) = (tmp_path / "quarantine").iterdir()
    assert (evidence / "x").read_bytes() == b"other"
    assert place.load_all() == FILES
    assert list((tmp_path / "tmp").iterdir()) == []


def test_strays_are_reported(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "objects" / "zz").mkdir()
    (tmp_path / "objects" / "zz" / ("zz" + "0" * 62)).mkdir()
    (tmp_path / "objects" / place.key[:2] / "\x1b[31mred").mkdir()
    (tmp_path / "objects" / "note.txt").write_text("x")
    found = list(place.store.verify())
    assert len(found) == 3
    assert all("E-STORE-05" in damage.problem.line() and "\x1b" not in damage.problem.line() for damage in found)
    assert list(place.store.keys()) == [place.key]


def test_verify_sees_children_of_another_result(tmp_path: Path) -> None:
    place = Place(tmp_path)
    parent = place.store.get(place.key).manifest
    child = key_of("probe", {}, [parent.key])
    place.store.put(child, kind="probe", recipe={}, parents={parent.key: parent.digest}, files={})
    place.store.discard(parent.key)
    place.store.put(place.key, kind="stage", recipe={"n": 1}, parents={}, files={"x": b"other"})
    (damage,) = LocalStore(tmp_path).verify()
    assert (damage.key, damage.problem.code) == (child, "E-STORE-06")
