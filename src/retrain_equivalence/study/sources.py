"""Where a study comes from: YAML files, a bundled name, or a Python function; all of them end as one tree of values."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from retrain_equivalence.core.errors import Problem, visible
from retrain_equivalence.core.identity import Plain
from retrain_equivalence.study.bundled import BUNDLED, bundled_text, is_bundled
from retrain_equivalence.study.dump import dump_study
from retrain_equivalence.study.places import Places, Position, suggestion
from retrain_equivalence.study.study import Study
from retrain_equivalence.study.yaml_reader import MAX_BYTES, Document, read_yaml

_PYTHON = re.compile(r"(?P<file>.+\.py):(?P<function>[^\W\d]\w*)")


def study_directory(sources: Sequence[str | Path]) -> Path:
    """Return the directory that relative paths in a study start from: that of its first file, else the working one."""
    first = sources[0]
    if is_bundled(first):
        return Path.cwd()
    python = _PYTHON.fullmatch(str(first))
    return Path(python["file"] if python else first).resolve().parent


def _refused(place: str, message: str, fix: str = "", code: str = "E-CFG-01") -> Document:
    return Document(problems=[Problem(code=code, place=str(Position(place)), message=message, fix=fix)])


def _read_file(path: Path, name: str) -> Document:
    if not path.exists():
        fix = suggestion(name, BUNDLED, "bundled studies")
        return _refused(name, "there is no such file, and no bundled study of this name", fix)
    if not path.is_file():
        return _refused(name, "this is not a regular file", "name a study file")
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        return _refused(name, f"the file cannot be read ({error.strerror})", "check its permissions")
    if len(data) > MAX_BYTES:
        return _refused(name, "the file is larger than 1 MiB: no study is", "data belong into files of their own")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _refused(name, "the file looks like UTF-16", "convert it to UTF-8, for example with iconv")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        place = str(Position(name, line, column))
        return _refused(place, f"byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8")
    return read_yaml(text, name)


def read_source(source: str | Path) -> Document:
    """Read one source; what is wrong with it is in the document's problems."""
    if is_bundled(source):
        return read_yaml(bundled_text(str(source)), f"{source}.yaml")
    if python := _PYTHON.fullmatch(str(source)):
        return _read_python(python["file"], python["function"])
    return _read_file(Path(source), str(source))


def join(documents: Sequence[tuple[str, Document]], places: Places) -> dict[str, Plain]:
    """Join the documents of several files into one tree: each top-level key stands in one of them only."""
    tree: dict[str, Plain] = {}
    for name, document in documents:
        places.problems.extend(document.problems)
        value = document.value
        if not isinstance(value, dict):
            if not document.problems:
                message = "a study file is a mapping (`field: value`)"
                places.problems.append(
                    Problem(code="E-CFG-12", place=name, message=message, fix="see `retrain-equivalence init`")
                )
            continue
        again = {key for key in value if key in tree}
        for key in again:
            other, here = places.positions[(key,)], document.positions[(key,)]
            places.problems.append(
                Problem(
                    code="E-CFG-32",
                    place=str(here),
                    message=f"{visible(key, limit=40)}: also given at {other}: a top-level key stands in one file only",
                    fix="keep one of the two",
                )
            )
        tree |= {key: item for key, item in value.items() if key not in again}
        places.refused |= document.refused
        places.positions |= {path: at for path, at in document.positions.items() if not path or path[0] not in again}
    return tree


# --- Python -------------------------------------------------------------------------------------------------------


def _read_python(file: str, function: str) -> Document:
    """Call a user's function; its study is written out and read again, so that the same rules hold for it."""
    label = f"{file}:{function}"
    path = Path(file)
    here = path.resolve()
    if not path.is_file():
        return _refused(file, "there is no such file", "", "E-CFG-33")
    try:
        module = _import_file(path)
        make = getattr(module, function, None)
        if not callable(make):
            public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            fix = suggestion(function, public, "functions")
            return _refused(label, f"the file has no function '{function}'", fix, "E-CFG-33")
        study = make()
    except Exception as error:  # the user's own code: whatever it raises is theirs to read
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).resolve() == here
        ]
        at = f"{file}:{lines[-1]}" if lines and lines[-1] else label
        what = visible(f"{type(error).__name__}: {error}", limit=120)
        return _refused(at, f"the file raised {what}", "run it by itself to see where", "E-CFG-33")
    if not isinstance(study, Study):
        message = f"the function returned {type(study).__name__}, expected Study"
        return _refused(label, message, "return retrain_equivalence.Study(…)", "E-CFG-33")
    try:
        text = dump_study(study)
    except (TypeError, ValueError, AttributeError) as error:
        what = visible(str(error), limit=120)
        return _refused(label, f"this study cannot be written down: {what}", "use plain values", "E-CFG-33")
    document = read_yaml(text, label)
    document.positions = {item: Position(label) for item in document.positions}
    return document


def _import_file(path: Path) -> ModuleType:
    name = f"retrain_equivalence_study_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their own module up while they are made, so it is listed before it runs.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
