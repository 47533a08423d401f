"""The bytes of `manifest.json`: canonical JSON with a seal, so that a flipped bit anywhere in it is seen.

{"manifest":{...},"sha256":"<SHA-256 of the text of {...}>"}
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from retrain_equivalence.core.identity import Digest, Key, canonical_json, digest_of_files, key_of
from retrain_equivalence.store.base import Manifest

MANIFEST = "manifest.json"
TOOL_FORMAT = 1
MAX_BYTES = 64 * 2**20

_HEAD, _MIDDLE, _TAIL = b'{"manifest":', b',"sha256":"', b'"}\n'
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class NotAManifest(ValueError):
    """The bytes are not what `encode` writes; the message says in which way."""


def is_key(text: str) -> bool:
    """Whether `text` is 64 lower-case hexadecimal digits."""
    return _HEX.fullmatch(text) is not None


def is_file_name(text: str) -> bool:
    """Whether an object may have a file of that name: letters, digits, `.`, `_`, `-`; not the manifest's own name."""
    return _NAME.fullmatch(text) is not None and text != MANIFEST


def encode(manifest: Manifest) -> bytes:
    """Return the bytes of `manifest.json`."""
    body = canonical_json(
        {
            "digest": manifest.digest,
            "files": {name: list(size_sha) for name, size_sha in manifest.files.items()},
            "format": TOOL_FORMAT,
            "key": manifest.key,
            "kind": manifest.kind,
            "made": dict(manifest.made),
            "parents": [list(pair) for pair in manifest.parents],
            "recipe": manifest.recipe,
        }
    ).encode()
    return _HEAD + body + _MIDDLE + hashlib.sha256(body).hexdigest().encode() + _TAIL


def decode(data: bytes) -> Manifest:
    """Read what `encode` wrote, and nothing else.

    Raises:
        NotAManifest: if the seal, the layout or a field is wrong. Whether the recipe gives the key is not checked here.
    """
    seal = len(_MIDDLE) + 64 + len(_TAIL)
    if len(data) < len(_HEAD) + seal or not data.startswith(_HEAD) or not data.endswith(_TAIL):
        raise NotAManifest(f"{len(data)} bytes without the layout of a manifest")
    body, rest = data[len(_HEAD) : -seal], data[-seal:]
    found = hashlib.sha256(body).hexdigest()
    if rest != _MIDDLE + found.encode() + _TAIL:
        raise NotAManifest(f"its seal does not fit its text (found {found[:12]}…)")
    try:
        return _from_fields(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotAManifest(f"a field is missing or wrong ({type(error).__name__})") from error


def _from_fields(found: dict[str, Any]) -> Manifest:
    if found["format"] != TOOL_FORMAT:
        raise NotAManifest(f"format {found['format']}, this version reads {TOOL_FORMAT}")
    files = {name: (int(size), str(sha)) for name, (size, sha) in found["files"].items()}
    parents = tuple((Key(key), Digest(digest)) for key, digest in found["parents"])
    hexes = [found["key"], found["digest"], *(sha for _, sha in files.values()), *(x for pair in parents for x in pair)]
    if not all(is_key(text) for text in hexes):
        raise NotAManifest("a key or digest is not 64 hexadecimal digits")
    if not all(is_file_name(name) for name in files) or any(size < 0 for size, _ in files.values()):
        raise NotAManifest("a file name or size is not allowed")
    return Manifest(
        key=Key(found["key"]),
        kind=str(found["kind"]),
        recipe=found["recipe"],
        parents=parents,
        files=files,
        digest=Digest(found["digest"]),
        made=dict(found["made"]),
    )


def derived_key(manifest: Manifest) -> Key:
    """Return the key that kind, recipe and parents give; it must be the object's own."""
    return key_of(manifest.kind, manifest.recipe, [key for key, _ in manifest.parents])


def derived_digest(manifest: Manifest) -> Digest:
    """Return the digest that the list of files gives; it must be the object's own."""
    return digest_of_files(manifest.files)
