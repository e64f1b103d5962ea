"""Whether a bundle is what its manifest says, and computes here what it computed where it was made."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
from pydantic import ValidationError

from edgekd.errors import ConfigError
from edgekd.records.bundle import Manifest
from edgekd.release.device.predict import Model, UnusableError, load_manifest
from edgekd.release.device.verify import bundle_problems


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


def verify(folder: Path, target: str | None = None) -> list[str]:
    """What is wrong with the bundle, one line each; the programs in it are not used.

    target: whose session settings the golden images are replayed with, the first by default.
    """
    try:
        manifest = read_manifest(folder).model_dump(mode="json", by_alias=True)
        return bundle_problems(folder, manifest, onnxruntime.__version__, lambda: Model(folder, manifest, target))
    except (ConfigError, UnusableError) as error:
        return [str(error)]
