"""What every kind of input gives, and how one is found by its name."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from edgekd.config.registry import MODALITIES
from edgekd.config.section import nearest
from edgekd.data.samples import Rows
from edgekd.errors import ConfigError
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.records.model import ModelFacts

if TYPE_CHECKING:
    from torch import Tensor

    from edgekd.config.export import ExportOptions
    from edgekd.config.training import AugmentOptions

Samples = NDArray[Any]
"""Raw samples, one a row: what a data set gives and a device reads, for example uint8 images (N, H, W, C)."""
Feeds = dict[str, NDArray[Any]]
"""What a model is fed: an array (N, ...) for each of its inputs, by name; float32, or uint8 for raw samples."""
FedRows = Mapping[str, Rows]
"""The same, made when rows of it are asked for: it may be more than memory holds."""
FED_BYTES = 2**28  # of feeds that are made in one go: as float32 they are four times as large as pixels
Spec = Mapping[str, Any]
"""One input of a contract as plain data, as it stands in a manifest: `name`, `dtype`, `shape`, `preprocessing`."""
Augment = Callable[["dict[str, Tensor]", NDArray[np.float64]], "dict[str, Tensor]"]
"""Inputs and one row of uniform numbers in [0, 1) for each sample -> changed copies of the inputs. It draws nothing
itself, so what a sample looks like depends on its numbers alone."""


class Modality(Protocol):
    """The functions and constants that such a module has.

    KEY: what the arrays of a data set are called, as in `train_images`. NOUN: many samples, in words for people.
    """

    KEY: str
    NOUN: str
    RAW: bool
    """Whether a file can take the samples as they are; `raw` then says how."""
    LABELS_HOLD: bool
    """Whether a sample that `augmentation` has changed keeps its label: a text without a word may not."""
    LIMITS: Sequence[str]
    """What the model card says of where the accuracy ends, a sentence each."""

    def accepted(self, samples: Any) -> Samples:
        """The samples of a data set in their standard form and type.

        Raises:
            ValueError: they are none of this kind; the message says what is wrong, and on a second line how it is
                put right.
        """
        ...

    def specify(self, samples: Rows, reading: Mapping[str, JsonValue] = {}) -> list[dict[str, Any]]:
        """The specs of the inputs, made from the training samples, of which it reads a few at a time; see `InputSpec`.
        reading: see `LabelledData`; it stands in the preprocessing, or says how that is found.

        Raises:
            ValueError: as `accepted`.
        """
        ...

    def feed(self, samples: Samples, specs: Sequence[Spec]) -> Feeds:
        """The one implementation of preprocessing: raw samples to what the model is fed."""
        ...

    def raw(self, specs: Sequence[Spec]) -> list[dict[str, Any]]:
        """The inputs of a file that takes raw samples, bytes, and makes (byte / 255 - mean) / std of them itself, by
        channel, with mean and std of the `preprocessing`. Only where RAW."""
        ...

    def read(self, path: Path, specs: Sequence[Spec]) -> Samples:
        """The samples in a file, as a device gets them: one or several, fit for `feed`.

        Raises:
            OSError, ValueError: it cannot be read, or does not fit the model; the message is for the user.
        """
        ...

    def shifted(self, samples: Samples, specs: Sequence[Spec], kind: str, amount: float, seed: int) -> Samples:
        """Samples as they come under other conditions; kind and amount: an option of `ShiftOptions`.

        Raises:
            ValueError: a change that this kind of input does not know; the message is as of `accepted`.
        """
        ...

    def augmentation(self, options: AugmentOptions, specs: Sequence[Spec]) -> Augment | None:
        """What changes a batch of inputs in training, None where the options ask for nothing.

        Raises:
            ValueError: an option that this kind of input has no use for; the message names it.
        """
        ...

    def numbers(self, specs: Sequence[Spec]) -> int:
        """How many uniform numbers one augmented view of a sample takes: the same whatever the options ask for."""
        ...

    def alternating(self, options: AugmentOptions) -> Sequence[int]:
        """Which of the numbers are drawn once for each sample and move on by a half, modulo 1, from view to view."""
        ...

    def facts(self, specs: Sequence[Spec]) -> list[tuple[str, str]]:
        """How the model card describes input and preprocessing: rows of a heading and a text."""
        ...

    def cpp_constants(self, specs: Sequence[Spec]) -> list[str]:
        """The lines of C++ that the module's header (`cpp_header`) needs, without what every model has."""
        ...


def modality(name: str) -> Modality:
    """The module behind a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in MODALITIES.members:
        raise ConfigError(f"unknown kind of input {name!r}", hint=nearest(name, MODALITIES.members))
    return cast("Modality", _module(name))


def source_of(name: str) -> Path:
    """The file that reads and preprocesses samples, which travels in the bundle."""
    module = _module(name)
    assert module.__file__ is not None
    file = Path(module.__file__)
    return file.with_name("inputs.py") if hasattr(module, "__path__") else file


def cpp_header(name: str) -> Path | None:
    """The C++ that does the same with one sample, beside that file; None where there is none."""
    header = source_of(name).with_suffix(".h")
    return header if header.is_file() else None


def contract_for(
    name: str, samples: Rows, classes: tuple[str, ...], reading: Mapping[str, JsonValue] = {}
) -> ModelContract:
    """The contract of models for these training samples; reading: see `LabelledData`.

    Raises:
        ConfigError: nothing can be learned from them.
    """
    try:
        specs = modality(name).specify(samples, reading)
    except ValueError as error:
        what, _, hint = str(error).partition("\n")
        raise ConfigError(what, hint=hint or None) from error
    return ModelContract(modality=name, inputs=tuple(InputSpec(**each) for each in specs), classes=classes)


def specs_of(contract: ModelContract) -> list[dict[str, Any]]:
    """The inputs of a contract as plain data, as the functions of a modality take them."""
    # the preprocessing is plain data already, and copying a vocabulary takes as long as feeding a hundred texts
    return [
        {**each.model_dump(mode="json", exclude={"preprocessing"}), "preprocessing": each.preprocessing}
        for each in contract.inputs
    ]


def shipped_contract(contract: ModelContract, options: ExportOptions) -> ModelContract:
    """What the files that could ship take and give, of networks that keep to `contract`."""
    kind, specs = modality(contract.modality), specs_of(contract)
    if kind.RAW and options.input == "raw":
        specs = kind.raw(specs)
    label = "label" if options.output == "label" else ""
    return contract.model_copy(update={"inputs": tuple(InputSpec(**each) for each in specs), "label": label})


def read_by(contract: ModelContract, files: Iterable[ModelFacts]) -> ModelContract:
    """The contract with those inputs alone that one of the files takes."""
    names = {each.name for file in files for each in file.inputs}
    return contract.model_copy(update={"inputs": tuple(each for each in contract.inputs if each.name in names)})


def feeds_for(contract: ModelContract, samples: Rows) -> Feeds:
    """What models of the contract are fed for these raw samples, in memory."""
    return modality(contract.modality).feed(np.asarray(samples), specs_of(contract))


@dataclass(frozen=True)
class _Fed:
    """One input of a model, whose rows are made of raw samples each time they are asked for."""

    contract: ModelContract
    samples: Rows
    spec: InputSpec

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.samples), *self.spec.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.spec.dtype)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[Any]:
        return feeds_for(self.contract, self.samples[rows])[self.spec.name]

    def __array__(self) -> NDArray[Any]:
        return self[:]


def fed_rows(contract: ModelContract, samples: Rows) -> FedRows:
    """What `feeds_for` gives for these raw samples, without holding more of it than is asked for at once."""
    return {spec.name: _Fed(contract, samples, spec) for spec in contract.inputs}


def fed_at_once(contract: ModelContract, limit_bytes: int = FED_BYTES) -> int:
    """How many samples' feeds fit into so much memory; one at least."""
    each_bytes = sum(np.dtype(each.dtype).itemsize * math.prod(each.shape) for each in contract.inputs)
    return max(1, limit_bytes // each_bytes)


def lengths_of(contract: ModelContract, samples: Rows) -> dict[str, NDArray[np.int64]]:
    """Of each input whose length varies how many places every sample needs: int64 (N,)."""
    varying = {each.name for each in contract.inputs if each.varies}
    if not varying:
        return {}
    lengths: dict[str, list[NDArray[np.int64]]] = {name: [] for name in varying}
    few = fed_at_once(contract)
    for start in range(0, len(samples), few):
        for name, fed in feeds_for(contract, samples[start : start + few]).items():
            if name in varying:
                used = np.asarray(fed.reshape(len(fed), -1, fed.shape[-1]) != 0).max(axis=1)
                lengths[name].append(fed.shape[-1] - used[:, ::-1].argmax(axis=1))
    return {name: np.concatenate(each) for name, each in lengths.items()}


def usual_lengths(contract: ModelContract, samples: Rows, share: float = 0.9) -> dict[str, int]:
    """Of each input whose length varies how many places that share of the samples needs at most; what a device is
    mostly fed is as short."""
    return {name: int(np.ceil(np.quantile(each, share))) for name, each in lengths_of(contract, samples).items()}


def asked_for(options: AugmentOptions, used: Collection[str], noun: str) -> bool:
    """Whether the options ask for anything beside mixing, which is for every kind of input (`training/mixing.py`).

    Raises:
        ValueError: for something that is not among those that such samples have a use for.
    """
    asked = {name for name, value in options.model_dump(exclude={"mixup", "cutmix"}).items() if value}
    for name in sorted(asked.difference(used)):
        raise ValueError(f"{noun} have no use for {name!r}\none of {', '.join(sorted(used))}")
    return bool(asked)


def _module(name: str) -> ModuleType:
    return importlib.import_module(MODALITIES.members[name])
