"""Where the weights of a network from elsewhere lie: a folder, or Hugging Face's cache of what was fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from edgekd.config.paths import find_data
from edgekd.errors import ConfigError
from edgekd.extras import missing
from edgekd.models.silence import first_line, silent
from edgekd.records.base import file_digest

SETTINGS = "config.json"
WEIGHTS = "*.safetensors"
HUB_NAME = re.compile(r"(?!.*(\.\.|--))\w[\w.-]*(/\w[\w.-]*)?")


def find_weights(name: str, context: Any) -> Path | None:
    """The folder that a name leads to, as the paths of data do; None for one that may be on the hub.

    context: pydantic's, of the validation.

    Raises:
        ValueError: the folder is no network's, or the name is neither of a folder nor one that the hub could have.
    """
    found = find_data(Path(name), context)
    if found is None:
        if HUB_NAME.fullmatch(name) is None:
            raise ValueError(f"no such folder: {name}")
        return None
    if not found.is_dir():
        raise ValueError(f"{name} is a file\ngive the folder that holds {SETTINGS} and the weights")
    if not (found / SETTINGS).is_file() or not list(weight_files(found)):
        raise ValueError(f"{name} holds no {SETTINGS} with weights beside it\nthe weights are files {WEIGHTS}")
    return found


def weight_files(folder: Path) -> Iterator[Path]:
    """The files that decide what the network is, in a fixed order."""
    yield from sorted(each for each in folder.glob(WEIGHTS) if each.is_file())


def weights_digest(folder: Path) -> JsonValue:
    """By the names of the files: a moved folder is the same network.

    Raises:
        ConfigError: a file cannot be read.
    """
    try:
        return {each.name: file_digest(each) for each in (folder / SETTINGS, *weight_files(folder))}
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename or folder}: {error.strerror}") from error


def fetched(name: str) -> Path:
    """The folder of a network of the hub: from the cache, else it is fetched.

    Raises:
        ConfigError: it is not in the cache, and the hub does not give it.
    """
    need_library()
    import huggingface_hub
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE

    wanted = [SETTINGS, WEIGHTS]
    try:
        folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=wanted, local_files_only=True))
        if (folder / SETTINGS).is_file() and list(weight_files(folder)):
            return folder
    except (OSError, ValueError):  # LocalEntryNotFoundError is both
        pass
    reason = "HF_HUB_OFFLINE is set"
    if not HF_HUB_OFFLINE:
        try:
            with silent():
                folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=wanted))
        except Exception as error:  # noqa: BLE001 - whatever a network, a proxy or a gate in between raises
            reason = first_line(error)
        else:
            if (folder / SETTINGS).is_file() and list(weight_files(folder)):
                return folder
            reason = f"it has no {SETTINGS} with files {WEIGHTS} beside it"
    raise ConfigError(
        f"there is no folder {name}, {HF_HUB_CACHE} does not hold it, and the hub does not give it: {reason}",
        hint=f"where there is a network: `hf download {name} --local-dir FOLDER`; copy the folder here, and give its "
        "path as `name`: from this file's folder, or from EDGEKD_DATA",
    )


def need_library() -> None:
    """
    Raises:
        ConfigError: transformers is not installed.
    """
    command = missing("transformers")
    if command is not None:
        raise ConfigError("`use: transformers` needs the library transformers, which is not installed", hint=command)
