"""Whether a bundle is what its manifest says, and computes what it computed where it was made; and its models, to use.

The programs and modules in the bundle are never run: edgekd's own stand in for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edgekd.agent import options
from edgekd.data.modalities.base import Feeds, Samples, feeds_for, modality
from edgekd.errors import ConfigError, StageError
from edgekd.records.bundle import Manifest, ShippedModel
from edgekd.records.schema1 import manifest_from_1
from edgekd.release.device.predict import SCHEMA, Model, Parts, UnusableError, load_manifest, takers
from edgekd.release.device.verify import file_problems, replay_problems

Replay = Callable[[Path, ShippedModel, Feeds], NDArray[np.float32]]
"""The answers float32 (N, classes) of a model's file to what it is fed, from wherever it runs."""


class Answering(Protocol):
    """What the bundle's own program asks for the golden answers."""

    def logits(self, samples: Samples) -> NDArray[np.float32]: ...


def read_manifest(folder: Path) -> Manifest:
    """The manifest, checked; one of an earlier schema in the form of today.

    Raises:
        ConfigError: missing, not JSON, of a newer schema, or not as its schema says.
    """
    path = folder / "manifest.json"
    try:
        content = load_manifest(folder, oldest=1)
        content = content if content["schema"] == SCHEMA else manifest_from_1(content)
        return Manifest.model_validate_json(json.dumps(content), strict=True)  # true is no 1, "3" no 3
    except UnusableError as error:
        raise ConfigError(str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = [".".join(str(part) for part in first["loc"])] if first["loc"] else []
        raise ConfigError(": ".join((str(path), *where, first["msg"]))) from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deep") from None


def load_model(folder: Path, manifest: Manifest, target: str | None = None) -> Model:
    """The model that ships on a target, on the first by default, under the settings of that target.

    Raises:
        UnusableError: the bundle has nothing for that target, or the model cannot be loaded.
        ConfigError: nothing here knows the kind of input.
    """
    parts = Parts(inputs=modality(manifest.contract.modality), session=options)
    return Model(folder, _plain(manifest), target, parts)


def verify(folder: Path, target: str | None = None) -> list[str]:
    """What is wrong with the bundle, one line each.

    target: whose model is to give its golden answers, under whose settings; by default every model does, each under
    the settings of the first target that takes it. With a target, its file in ONNX Runtime's own format too.
    """
    import onnxruntime

    installed = str(onnxruntime.__version__)
    return _problems(folder, target, target, installed, lambda manifest, taker: load_model(folder, manifest, taker))


def verify_elsewhere(folder: Path, machine: str, installed: str, replay: Replay) -> list[str]:
    """The same with every model's golden answers given by another machine, whose onnxruntime is `installed`.

    machine: the name of the target that it is, of which the bundle may know nothing.

    Raises:
        TargetError: it cannot be reached.
    """
    return _problems(
        folder, None, machine, installed, lambda manifest, taker: _Replayed(folder, manifest, taker, replay)
    )


def _problems(
    folder: Path, target: str | None, machine: str | None, installed: str, load: Callable[[Manifest, str], Answering]
) -> list[str]:
    """machine: the target that answers."""
    try:
        plain = _plain(read_manifest(folder))
        problems = file_problems(folder, plain)
        if not problems:
            taken = takers(plain, target)
            problems = replay_problems(
                folder, plain, machine, taken, installed, lambda each, taker: load(Manifest.model_validate(each), taker)
            )
    except (ConfigError, StageError, UnusableError) as error:
        problems = [str(error)]
    return [" ".join(problem.splitlines()) for problem in problems]  # names in a manifest may be of any form


def _plain(manifest: Manifest) -> dict[str, object]:
    return manifest.model_dump(mode="json", by_alias=True)


class _Replayed:
    """The model of a target that answers on another machine."""

    def __init__(self, folder: Path, manifest: Manifest, target: str, replay: Replay) -> None:
        self._manifest, self._shipped, self._replay = manifest, manifest.shipped(target), replay
        self._path = folder / self._shipped.file

    def logits(self, samples: Samples) -> NDArray[np.float32]:
        try:
            feeds = feeds_for(self._manifest.contract, samples)
        except (IndexError, TypeError, ValueError) as error:
            raise UnusableError(f"the golden samples cannot be fed: {error}") from error
        return self._replay(self._path, self._shipped, feeds)
