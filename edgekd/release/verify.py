"""Whether a bundle is what its manifest says, and computes what it computed where it was made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edgekd.errors import ConfigError, StageError
from edgekd.records.bundle import Manifest
from edgekd.release.device.predict import Model, UnusableError, load_manifest
from edgekd.release.device.verify import bundle_problems

Replay = Callable[[Path, Manifest, NDArray[np.uint8]], NDArray[np.float32]]
"""The model's answers float32 (N, classes) to images uint8 (N, H, W, C), from wherever it runs."""


class Answering(Protocol):
    """What the bundle's own program asks for the golden answers."""

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]: ...


def read_manifest(folder: Path) -> Manifest:
    """The manifest, checked.

    Raises:
        ConfigError: missing, not JSON, of a newer schema, or not as the schema says.
    """
    try:
        return Manifest.model_validate(load_manifest(folder))
    except UnusableError as error:
        raise ConfigError(str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{folder / 'manifest.json'}: {where}: {first['msg']}") from None
    except RecursionError:
        raise ConfigError(f"{folder / 'manifest.json'} is nested too deep") from None


def verify(folder: Path, target: str | None = None) -> list[str]:
    """What is wrong with the bundle, one line each; the programs in it are not used.

    target: whose session settings the golden images are replayed with, the first by default.
    """
    import onnxruntime

    return _problems(
        folder, onnxruntime.__version__, lambda manifest: Model(folder, manifest.model_dump(mode="json"), target)
    )


def verify_elsewhere(folder: Path, installed: str, replay: Replay) -> list[str]:
    """The same with the golden images answered by another machine, whose onnxruntime is `installed`.

    Raises:
        TargetError: it cannot be reached.
    """
    return _problems(folder, installed, lambda manifest: _Replayed(folder, manifest, replay))


def _problems(folder: Path, installed: str, load: Callable[[Manifest], Answering]) -> list[str]:
    try:
        manifest = read_manifest(folder)
        plain = manifest.model_dump(mode="json", by_alias=True)
        return bundle_problems(folder, plain, installed, lambda: load(manifest))
    except (ConfigError, StageError, UnusableError) as error:
        return [str(error)]


class _Replayed:
    """Answers that were computed before they are asked for: what goes wrong there is no fault of the bundle's."""

    def __init__(self, folder: Path, manifest: Manifest, replay: Replay) -> None:
        images = np.load(folder / manifest.golden.images, allow_pickle=False)
        self._answers = replay(folder / manifest.model_file, manifest, images)

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert len(images) == len(self._answers)
        return self._answers
