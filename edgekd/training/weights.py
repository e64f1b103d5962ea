"""A module's weights as a file: safetensors, never a pickle."""

from __future__ import annotations

import errno
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgekd.errors import ConfigError

SYSTEM_ERROR = re.compile(r"os error (\d+)")
WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training scripts keep it


def save_weights(module: nn.Module, path: Path) -> None:
    """Writes the module's parameters and buffers; the same weights make the same bytes."""
    save_tensors(module.state_dict(), path)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes the tensors atomically; tied ones, which share memory, are written one by one."""
    own = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    temporary = path.with_name(f"{path.name}.partial")
    try:
        save_file(own, temporary)
    except SafetensorError as error:  # it has the system's error in its text only
        code = SYSTEM_ERROR.search(str(error))
        number = int(code[1]) if code else errno.EIO
        temporary.unlink(missing_ok=True)
        raise OSError(number, os.strerror(number), str(temporary)) from error
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(path)


def load_weights(module: nn.Module, path: Path) -> None:
    """Fills the module from a checkpoint: .safetensors, or .pt / .pth holding plain tensors.

    Raises:
        ConfigError: no such file, not readable as such a checkpoint, or it does not fit: which tensor, which shapes;
            or a number in it is infinite or none.
    """
    tensors = read_tensors(path)
    misfits = list(_misfits(module.state_dict(), tensors))
    if misfits:
        more = f" (and {len(misfits) - 1} more)" if len(misfits) > 1 else ""
        raise ConfigError(
            f"{path} does not fit the model: {misfits[0]}{more}",
            hint="the model's options must be those that the checkpoint was trained with, and its names those of "
            "model.state_dict()",
        )
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise ConfigError(
                f"{path}: the tensor {name} is not finite in {count:,} of {tensor.numel():,} numbers",
                hint="whatever trained it went wrong: nothing can be learned from these weights",
            )
    module.load_state_dict(tensors)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint.

    Raises:
        ConfigError: it is no checkpoint, or one that would run code when opened.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix in (".pt", ".pth"):
            return _plain_tensors(path, torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}") from None
    except (SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"cannot read the checkpoint {path}: {reason}",
            hint="save plain weights: safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')",
        ) from error
    raise ConfigError(f"{path}: unknown kind of checkpoint {path.suffix!r}", hint="give .safetensors, .pt or .pth")


def _plain_tensors(path: Path, content: object) -> dict[str, Tensor]:
    """The state dict in the file, either itself or under the customary key of a training script."""
    if isinstance(content, dict):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), content)
        tensors = {str(name): each for name, each in content.items() if isinstance(each, Tensor)}
        if content and len(tensors) == len(content):
            return tensors
    raise ConfigError(f"{path} holds no named tensors", hint="save model.state_dict()")


def _misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Each difference in words, in the model's order."""
    found = []
    for name, tensor in wanted.items():
        if name not in given:
            found.append(f"the tensor {name} {tuple(tensor.shape)} is missing")
        elif given[name].shape != tensor.shape:
            theirs, ours = tuple(given[name].shape), tuple(tensor.shape)
            found.append(f"the tensor {name} has shape {theirs}, the model's has {ours}")
        elif given[name].is_floating_point() != tensor.is_floating_point():
            found.append(f"the tensor {name} is of {given[name].dtype}, the model's of {tensor.dtype}")
    found += [f"the model has no tensor {name} {tuple(given[name].shape)}" for name in given if name not in wanted]
    return found
