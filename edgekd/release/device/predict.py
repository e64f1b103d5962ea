#!/usr/bin/env python3
"""Label and confidence for what is in files: python3 predict.py FILE ...

A file with several samples gets a line for each, named FILE:1, FILE:2 and so on. Needs python3 (3.9 or newer), numpy
and onnxruntime; `inputs.py` beside this program reads the files and says what they may be.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # a numpy.py beside this program is not numpy; a __pycache__ is not of the bundle
    HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - nor is a pathlib.py what it seems
    sys.path = [each for each in sys.path if os.path.realpath(each) != HERE]
    sys.dont_write_bytecode = True

import argparse
import importlib.util
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

try:
    import numpy as np
    import onnxruntime
except ImportError as missing:
    sys.exit(f"error: {missing.name} is not installed\nhint: python3 -m pip install numpy onnxruntime")

SCHEMA = 2
LONGEST_S = 600.0  # what answering may take: a model may never end
LARGEST_MANIFEST = 1 << 26
MOST_AT_ONCE = 64  # samples: what a model computes of them must find room on a small device


class UnusableError(Exception):
    """A file or a bundle that cannot be used, told in one line."""


class Parts(NamedTuple):
    """What a model needs beside its file. inputs: the module that reads samples and makes the model's inputs of them;
    session: the module that makes onnxruntime's options of settings."""

    inputs: Any
    session: Any


class Answer(NamedTuple):
    name: str
    label: str
    share: float


class Model:
    """The model of a bundle, set up as it was measured."""

    def __init__(self, folder: Path, manifest: dict[str, Any], target: str | None, parts: Parts) -> None:
        """`target`: whose model and settings to use, the manifest's first by default."""
        name, taker = next(iter(takers(manifest, target).items()))
        shipped, runtime = manifest["models"][name], manifest["targets"][taker]["runtime"]
        contract = manifest["contract"]
        self.classes, self.output, self.specs = contract["classes"], contract["output"], contract["inputs"]
        self.label = contract.get("label", "")  # the output with the class's number, if there is one
        self.inputs = parts.inputs
        known = onnxruntime.get_available_providers()
        if runtime["provider"] not in known:  # ONNX Runtime would silently take another one
            raise UnusableError(f"ONNX Runtime here knows no {runtime['provider']}; it has {', '.join(known)}")
        try:
            self.session = onnxruntime.InferenceSession(
                str(folder / shipped["file"]),
                parts.session.session_options(runtime, shipped["session"]),
                providers=[runtime["provider"]],
            )
        except Exception as error:
            raise UnusableError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load the model: {_line(error)}"
            ) from error
        self.batch = self.session.get_inputs()[0].shape[0]

    def read(self, path: Path) -> Any:
        """The samples in a file, one or several, as `logits` takes them."""
        try:
            return self.inputs.read(path, self.specs)
        except (OSError, ValueError) as error:
            raise UnusableError(str(error)) from error

    def logits(self, samples: Any) -> Any:
        """float32 (N, classes); samples: N raw ones."""
        try:
            found = np.asarray(self._run(self.output, self.inputs.feed(samples, self.specs), len(samples)))
        except Exception as error:
            raise UnusableError(f"the model does not run on the samples: {_line(error)}") from error
        if found.shape != (len(samples), len(self.classes)):
            raise UnusableError(f"the model answers {found.shape}, not {len(self.classes)} classes for each sample")
        return found

    def labels(self, samples: Any) -> list[str]:
        """The name of the class of each of N raw samples."""
        if not self.label:
            return [self.classes[number] for number in self.logits(samples).argmax(axis=1).tolist()]
        try:
            numbers = self._run(self.label, self.inputs.feed(samples, self.specs), len(samples))
        except Exception as error:
            raise UnusableError(f"the model does not run on the samples: {_line(error)}") from error
        return [self.classes[number] for number in numbers.tolist()]

    def answers(self, paths: list[Path]) -> Iterator[Answer]:
        """Label and confidence of every sample in the files; all are read before the first is answered."""
        read = [(path, self.read(path)) for path in paths]
        for path, samples in read:
            for number, shares in enumerate(softmax(self.logits(samples)), start=1):
                best = int(shares.argmax())
                name = str(path) if len(samples) == 1 else f"{path}:{number}"
                yield Answer(name, self.classes[best], float(shares[best]))

    def _short(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """As long as the longest sample of the batch, where the rest is padding, which changes no answer."""
        return {**feeds, **{each["name"]: _trimmed(feeds[each["name"]]) for each in self.specs if each.get("varies")}}

    def _run(self, output: str, feeds: dict[str, Any], count: int) -> Any:
        size = MOST_AT_ONCE
        if isinstance(self.batch, int):
            # a model with a fixed batch: the last one is filled up, and what that answers is dropped
            size = self.batch
            feeds = {
                name: np.concatenate([fed, np.zeros((-count % size, *fed.shape[1:]), fed.dtype)])
                for name, fed in feeds.items()
            }
        answers = [
            self.session.run([output], self._short({name: fed[at : at + size] for name, fed in feeds.items()}))[0]
            for at in range(0, count, size)
        ]
        return np.concatenate(answers)[:count]


def takers(manifest: dict[str, Any], target: str | None = None) -> dict[str, str]:
    """The models that ship, each with the first target that takes it; with a target, only its own.

    Raises:
        UnusableError: the bundle has nothing for the target.
    """
    targets = manifest["targets"]
    if not targets or (target is not None and target not in targets):
        raise UnusableError(f"the bundle has nothing for target {target!r}; it has {', '.join(targets) or 'none'}")
    taken: dict[str, str] = {}
    for name in targets if target is None else [target]:
        taken.setdefault(targets[name]["model"], name)
    return taken


def load_manifest(folder: Path, oldest: int = SCHEMA) -> dict[str, Any]:
    """The manifest as plain data.

    Raises:
        UnusableError: it is missing, not JSON, or of a schema that is not from `oldest` to this program's.
    """
    path = folder / "manifest.json"
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()) or path.stat().st_size > LARGEST_MANIFEST:
            raise UnusableError(f"{path} is not a bundle's manifest, but a link, no file, or very large")
        manifest = json.loads(
            path.read_text(encoding="utf-8"), object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite
        )
    except OSError as error:
        raise UnusableError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        told = f": {error}" if type(error) is ValueError else ""
        raise UnusableError(f"{path} is not JSON{told}") from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if type(schema) is not int or schema < 1:
        raise UnusableError(f"{path} is not a bundle's manifest")
    if schema > SCHEMA:
        raise UnusableError(f"{path} has schema {schema}, made by a newer edgekd; this program knows schema {SCHEMA}")
    if schema < oldest:
        raise UnusableError(f"{path} has schema {schema}; this program knows schema {SCHEMA}")
    return dict(manifest)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


@contextmanager
def limited(code: int, seconds: float = LONGEST_S) -> Iterator[None]:
    """Ends this process with that code where what is done inside does not end: nothing else stops ONNX Runtime."""

    def give_up() -> None:
        print(f"error: no answer within {seconds:.0f} s", file=sys.stderr, flush=True)
        os._exit(code)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def load_parts(folder: Path) -> Parts:
    """The bundle's own modules.

    Raises:
        UnusableError: one of them is missing or damaged.
    """
    return Parts(inputs=_module(folder / "inputs.py"), session=_module(folder / "session.py"))


def _trimmed(fed: Any) -> Any:
    """Without the places at the end that nothing in the batch fills: they change no answer, and cost time."""
    used = np.flatnonzero(np.asarray(fed).any(axis=tuple(range(fed.ndim - 1))))
    return fed[..., : used[-1] + 1 if len(used) else 1]


def softmax(logits: Any) -> Any:
    """Probabilities (N, classes)."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def visible(text: str) -> str:
    """With what a terminal would obey, from the name of a file for example, written out."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _module(path: Path) -> Any:
    """The module of exactly this file, whatever else has its name."""
    spec = importlib.util.spec_from_file_location(f"bundle_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the module that they are of
    try:
        spec.loader.exec_module(module)
    except (OSError, SyntaxError, ValueError) as error:
        raise UnusableError(f"cannot use {path}: {_line(error)}") from error
    return module


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Label and confidence for what is in files.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--target", help="whose model and settings to use; the first of the manifest by default")
    arguments = parser.parse_args()
    folder = Path(__file__).resolve().parent
    try:
        with limited(code=2):
            model = Model(folder, load_manifest(folder), arguments.target, load_parts(folder))
        answers = model.answers(arguments.files)
        while True:
            with limited(code=2):
                answer = next(answers, None)
            if answer is None:
                break
            print(f"{visible(answer.name)}\t{visible(answer.label)}\t{answer.share:.4f}")
    except UnusableError as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)
        return 2
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        print(f"error: the manifest is damaged: {type(error).__name__} {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
