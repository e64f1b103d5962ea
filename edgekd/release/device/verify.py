#!/usr/bin/env python3
"""Whether this bundle is whole and computes here what it computed where it was made: python3 verify.py

Exit code 0 if so, 1 if not. Needs python3 (3.9 or newer), numpy and onnxruntime.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # a numpy.py beside this program is not numpy; a __pycache__ is not of the bundle
    HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - nor is a pathlib.py what it seems
    sys.path = [each for each in sys.path if os.path.realpath(each) != HERE]
    sys.dont_write_bytecode = True

import argparse
import hashlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

OWN = ("manifest.json", "manifest.sig")  # what a manifest cannot list
SCHEMA = "manifest.schema.json"
TYPES = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
LIMITS: dict[str, Callable[[Any, Any], bool]] = {
    "exclusiveMinimum": lambda value, limit: value > limit,
    "minimum": lambda value, limit: value >= limit,
    "maximum": lambda value, limit: value <= limit,
    "minItems": lambda value, limit: len(value) >= limit,
    "maxItems": lambda value, limit: len(value) <= limit,
    "minLength": lambda value, limit: len(value) >= limit,
    "minProperties": lambda value, limit: len(value) >= limit,
    "const": lambda value, expected: value == expected,
    "enum": lambda value, expected: value in expected,
}
INSIDE = {"$defs", "$ref", "anyOf", "properties", "required", "additionalProperties", "items", "prefixItems"}
KEYWORDS = {"type", *LIMITS, *INSIDE}  # of JSON Schema: all that the schema of a manifest may use


def file_problems(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """What is missing, changed, added, or leads out of the folder, one line each."""
    listed = manifest["files"]
    found = [_entry_problem(folder, name, entry) for name, entry in sorted(listed.items())]
    problems = [problem for problem in found if problem]
    folders = {parent.as_posix() for name in listed for parent in PurePosixPath(name).parents}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            odd = name not in folders and not any(path.iterdir())  # what is in another one is told by itself
        else:
            odd = name not in listed and name not in OWN
        if odd:
            problems.append(f"{name}: not of this bundle")
    problems += [f"{name}: a link, not a file of the bundle" for name in OWN if (folder / name).is_symlink()]
    used = [manifest["golden_samples"]]
    for shipped in manifest["models"].values():
        used += [shipped["file"], shipped["golden"]["logits"]]
    for taker in manifest["targets"].values():
        used += [taker[key] for key in ("required_operators", "ort", "right") if taker.get(key) is not None]
    return problems + [f"{name}: used, but not listed in the manifest" for name in used if name not in listed]


def form_problem(value: Any, schema: dict[str, Any], named: dict[str, Any], where: str = "") -> str | None:
    """The first place where a value is not as its schema says, None if there is none; `named`: what `$ref` names."""
    if "$ref" in schema:
        return form_problem(value, named[schema["$ref"].rpartition("/")[2]], named, where)
    if "anyOf" in schema:
        found = [form_problem(value, each, named, where) for each in schema["anyOf"]]
        return None if None in found else found[0]
    kind = schema.get("type")
    if kind is not None and type(value) not in TYPES[kind]:  # true is no 1
        return f"{where}: {_short(value)}, {kind} expected"
    for keyword, holds in LIMITS.items():
        if keyword in schema and not holds(value, schema[keyword]):
            return f"{where}: {_short(value)}, {keyword} {_short(schema[keyword])}"
    inside: Iterable[tuple[Any, Any, dict[str, Any]]] = ()
    if kind == "object":
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        odd = [key for key in value if key not in known] if others is False else []
        odd += [key for key in schema.get("required", ()) if key not in value]
        if odd:
            return f"{_at(where, odd[0])}: {'unknown' if odd[0] in value else 'missing'}"
        inside = ((key, each, known.get(key, others)) for key, each in value.items())
    elif kind == "array":
        each_of = schema.get("prefixItems") or [schema["items"]] * len(value)
        inside = ((number, each, each_of[number]) for number, each in enumerate(value))
    return next(filter(None, (form_problem(each, form, named, _at(where, key)) for key, each, form in inside)), None)


def _at(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def answer_problems(
    folder: Path, manifest: dict[str, Any], taken: dict[str, str], installed: str, load: Callable[[str], Any]
) -> list[str]:
    """What is wrong with the models' answers to the golden samples, one line each; the files are right already.

    taken: the models to ask, each with a target that takes it; installed: the version of ONNX Runtime there; load: the
    Model of predict.py for a target.
    """
    problems = [problem for name in taken for problem in runtime_problems(name, manifest["models"][name], installed)]
    if not problems:
        for name, target in taken.items():
            problems += _golden_problems(folder, manifest, name, load(target))
    return problems


def replay_problems(
    folder: Path,
    manifest: dict[str, Any],
    target: str | None,
    taken: dict[str, str],
    installed: str,
    load: Callable[[dict[str, Any], str], Any],
) -> list[str]:
    """The answer_problems of the models, and of the file in ONNX Runtime's own format of the target that this is.

    target: none where nobody says which it is: such a file is for the processor of its target alone. load: the Model of
    predict.py for a manifest and a target.
    """
    problems = answer_problems(folder, manifest, taken, installed, lambda taker: load(manifest, taker))
    file = manifest["targets"].get(target, {}).get("ort")
    if problems or target is None or file is None:
        return problems
    name = manifest["targets"][target]["model"]
    models = {**manifest["models"], name: {**manifest["models"][name], "file": file}}
    found = answer_problems(
        folder, manifest, {name: target}, installed, lambda taker: load({**manifest, "models": models}, taker)
    )
    return [f"{file}: {problem}" for problem in found]


def is_inside(name: str) -> bool:
    """Whether a path of a manifest or an archive stays in its folder, on every system."""
    path = PurePosixPath(name)
    unusual = re.search(r"[\\:\x00-\x1f]|//|/$", name)  # a drive, a stream, a second way to write the same path
    return bool(path.parts) and not path.is_absolute() and not {"..", "."} & set(name.split("/")) and not unusual


def runtime_problems(name: str, shipped: dict[str, Any], installed: str) -> list[str]:
    """Whether the installed ONNX Runtime is older than the model needs."""
    needed = shipped["facts"]["runtime"]
    if needed is None or _release(installed) >= _release(needed):
        return []
    update = "python3 -m pip install -U onnxruntime"
    return [f"ONNX Runtime {installed} is too old for the model {name}, which needs {needed} or newer: {update}"]


def _release(version: str) -> tuple[int, ...]:
    """(1, 31) of "1.31.1"."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version)[:2])


def _entry_problem(folder: Path, name: str, entry: dict[str, Any]) -> str | None:
    """What is wrong with one file of the manifest."""
    path = folder / name
    problem = None
    try:
        if not is_inside(name):
            problem = f"{name!r}: the path leaves the bundle"
        elif path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
            problem = f"{name}: a link, not a file of the bundle"
        elif not path.is_file():
            problem = f"{name}: missing"
        elif path.stat().st_size != entry["size_bytes"]:
            problem = f"{name}: {path.stat().st_size} bytes, {entry['size_bytes']} expected"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            problem = f"{name}: its content was changed"
    except OSError as error:
        problem = f"{name}: {error.strerror}"
    return problem


def _golden_problems(folder: Path, manifest: dict[str, Any], name: str, model: Any) -> list[str]:
    """Whether the model's answers to the golden samples are the recorded ones."""
    import numpy as np

    golden = manifest["models"][name]["golden"]
    tolerance = golden["tolerance"]
    if type(tolerance) not in (int, float) or not 0 <= tolerance < float("inf"):
        raise ValueError(f"the tolerance of {name} is {tolerance!r}")
    try:
        # mapped, so that a shape that the file does not hold asks for no memory
        samples, expected = (
            np.array(np.load(folder / name, mmap_mode="r", allow_pickle=False))
            for name in (manifest["golden_samples"], golden["logits"])
        )
    except Exception as error:  # noqa: BLE001 - a damaged header makes numpy's reader raise anything
        return [f"golden samples: {_line(error)}"]
    classes = len(manifest["contract"]["classes"])
    if samples.ndim < 1 or not len(samples) or expected.shape != (len(samples), classes):
        return [f"golden samples: not one or more, with an answer of {name} for each of {classes} classes"]
    actual = model.logits(samples)
    if actual.shape != expected.shape:
        return [f"golden samples: answers of {name} have the shape {actual.shape}, {expected.shape} expected"]
    if manifest["contract"].get("label") and hasattr(model, "labels"):
        classes = manifest["contract"]["classes"]
        odd = [n for n, label in enumerate(model.labels(samples)) if label != classes[int(actual[n].argmax())]]
        if odd:
            return [f"golden samples: {name}: the label of sample {odd[0]} is not that of its largest logit"]
    difference = np.abs(actual - expected).max(axis=1)
    wrong = np.flatnonzero(~(difference <= tolerance))
    if not len(wrong):
        return []
    worst = int(wrong[difference[wrong].argmax()])
    flipped = int((actual.argmax(axis=1) != expected.argmax(axis=1)).sum())
    return [
        f"golden samples: {name}: {len(wrong)} of {len(samples)} answers differ, the most on sample {worst} by "
        f"{difference[worst]:.4g} (allowed {tolerance:.4g}); {flipped} labels flip"
    ]


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _verified(folder: Path, target: str | None) -> tuple[list[str], str]:
    """The problems of the bundle, or else what was found; no program of it is used before all files are checked."""
    path = folder / "manifest.json"
    try:
        if not path.is_file() and path.exists():
            return [f"{path}: not a file"], ""
        problems = file_problems(folder, json.loads(path.read_text(encoding="utf-8")))
        return (problems, "") if problems else _answered(folder, target)
    except OSError as error:
        return [f"cannot read {error.filename or path}: {error.strerror}"], ""
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return [f"{path} is not JSON"], ""
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return [f"the manifest is damaged: {type(error).__name__}: {_line(error)}"], ""


def _answered(folder: Path, target: str | None) -> tuple[list[str], str]:
    spec = importlib.util.spec_from_file_location("bundle_predict", folder / "predict.py")
    assert spec is not None
    assert spec.loader is not None
    predict = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = predict
    spec.loader.exec_module(predict)
    installed = predict.onnxruntime.__version__
    try:
        manifest = predict.load_manifest(folder)
        schema = json.loads((folder / SCHEMA).read_text(encoding="utf-8"))
        problem = form_problem(manifest, schema, schema["$defs"])
        if problem is not None:
            return [f"{folder / 'manifest.json'}: {problem}"], ""
        taken = predict.takers(manifest, target)
        parts = predict.load_parts(folder)
        with predict.limited(code=1):
            problems = replay_problems(
                folder, manifest, target, taken, installed, lambda each, name: predict.Model(folder, each, name, parts)
            )
    except predict.UnusableError as error:
        return [str(error)], ""
    count, names = len(manifest["files"]), ", ".join(taken)
    return problems, f"{count} files; the golden answers of {names} are given again under ONNX Runtime {installed}"


def _visible(text: str) -> str:
    """As predict.py's, which is not used before it is checked."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def main() -> int:
    parser = argparse.ArgumentParser(description="Whether this bundle is whole and computes here what it should.")
    parser.add_argument("--target", help="whose model and settings to use; every model of the bundle by default")
    problems, found = _verified(Path(__file__).resolve().parent, parser.parse_args().target)
    for problem in problems:
        print(f"error: {_visible(' '.join(problem.splitlines()))}", file=sys.stderr)
    if not problems:
        print(f"ok: {found}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
