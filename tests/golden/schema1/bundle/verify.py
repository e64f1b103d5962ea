#!/usr/bin/env python3
"""Whether this bundle is whole and computes here what it computed where it was made: python3 verify.py

Exit code 0 if so, 1 if not. Needs python3 (3.9 or newer), numpy and onnxruntime.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

OWN = ("manifest.json", "manifest.sig")  # what a manifest cannot list

sys.dont_write_bytecode = True  # a __pycache__ would be a file that the manifest does not list


def bundle_problems(folder: Path, manifest: dict[str, Any], installed: str, load: Callable[[], Any]) -> list[str]:
    """What is wrong with the bundle, one line each; its files are checked before any of them is used.

    installed: the version of ONNX Runtime here; load: gives the Model of predict.py.
    """
    try:
        problems = file_problems(folder, manifest) + runtime_problems(manifest, installed)
        return problems or golden_problems(folder, manifest, load())
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return [f"the manifest is damaged: {type(error).__name__}: {_first_line(error)}"]


def file_problems(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """What is missing, changed, added, or leads out of the folder, one line each."""
    problems = []
    listed = manifest["files"]
    for name, entry in sorted(listed.items()):
        path = folder / name
        if not is_inside(name):
            problems.append(f"{name!r}: the path leaves the bundle")
        elif path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
            problems.append(f"{name}: a link, not a file of the bundle")
        elif not path.is_file():
            problems.append(f"{name}: missing")
        elif path.stat().st_size != entry["size_bytes"]:
            problems.append(f"{name}: {path.stat().st_size} bytes, {entry['size_bytes']} expected")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            problems.append(f"{name}: its content was changed")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in listed and name not in OWN and (path.is_symlink() or not path.is_dir()):
            problems.append(f"{name}: not of this bundle")
    used = (manifest["model_file"], manifest["golden"]["images"], manifest["golden"]["logits"])
    return problems + [f"{name}: used, but not listed in the manifest" for name in used if name not in listed]


def is_inside(name: str) -> bool:
    """Whether a path of a manifest or an archive stays in its folder, on every system."""
    path = PurePosixPath(name)
    unusual = re.search(r"[\\:\x00-\x1f]|//|/$", name)  # a drive, a stream, a second way to write the same path
    return bool(path.parts) and not path.is_absolute() and not {"..", "."} & set(name.split("/")) and not unusual


def runtime_problems(manifest: dict[str, Any], installed: str) -> list[str]:
    """Whether the installed ONNX Runtime is older than the model needs."""
    needed = manifest["model"]["runtime"]
    if needed is None or release(installed) >= release(needed):
        return []
    update = "python3 -m pip install -U onnxruntime"
    return [f"ONNX Runtime {installed} is too old for the model, which needs {needed} or newer: {update}"]


def release(version: str) -> tuple[int, ...]:
    """(1, 31) of "1.31.1"."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def golden_problems(folder: Path, manifest: dict[str, Any], model: Any) -> list[str]:
    """Whether the model's answers to the golden images are the recorded ones; `model`: a Model of predict.py."""
    import numpy as np

    golden = manifest["golden"]
    try:
        images = np.load(folder / golden["images"], allow_pickle=False)
        expected = np.load(folder / golden["logits"], allow_pickle=False)
    except (OSError, ValueError) as error:
        return [f"golden images: {error}"]
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(expected) or not len(images):
        return ["golden images: not uint8 (N, H, W, C) with logits for each"]
    try:
        actual = model.logits(images)
    except Exception as error:  # noqa: BLE001 - whatever the runtime raises, the model does not answer
        return [f"golden images: the model does not run on them: {_first_line(error)}"]
    if actual.shape != expected.shape:
        return [f"golden images: answers of shape {actual.shape}, {expected.shape} expected"]
    difference = np.abs(actual - expected).max(axis=1)
    wrong = np.flatnonzero(~(difference <= golden["tolerance"]))
    if not len(wrong):
        return []
    worst = int(wrong[difference[wrong].argmax()])
    flipped = int((actual.argmax(axis=1) != expected.argmax(axis=1)).sum())
    return [
        f"golden images: {len(wrong)} of {len(images)} answers differ, the most on image {worst} by "
        f"{difference[worst]:.4g} (allowed {golden['tolerance']:.4g}); {flipped} labels flip"
    ]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Whether this bundle is whole and computes here what it should.")
    parser.add_argument("--target", help="whose session settings to use; the first of the manifest by default")
    arguments = parser.parse_args()
    import onnxruntime
    from predict import Model, UnusableError, load_manifest  # type: ignore[import-not-found]  # beside it in a bundle

    folder = Path(__file__).resolve().parent
    try:
        manifest = load_manifest(folder)
        problems = bundle_problems(
            folder, manifest, onnxruntime.__version__, lambda: Model(folder, manifest, arguments.target)
        )
    except UnusableError as error:
        problems = [str(error)]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        print(f"ok: {len(manifest['files'])} files, golden images agree under ONNX Runtime {onnxruntime.__version__}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
