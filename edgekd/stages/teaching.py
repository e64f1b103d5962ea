"""The networks that a training learns from: opened, told from each other, and doubted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.closure import closure
from edgekd.errors import placed
from edgekd.pipeline.fingerprint import versions
from edgekd.records.base import digest, file_digest
from edgekd.records.contract import ModelContract
from edgekd.stages.modality import training_identity
from edgekd.stages.networks import GivenNetwork, Network, TrainedNetwork

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from edgekd.training.teachers import Teaching


def teaching(source: Network, contract: ModelContract, inputs: Mapping[str, Path]) -> Teaching:
    """What answers for a source."""
    from edgekd.training.teachers import Given, Live

    if isinstance(source, GivenNetwork):
        return Given(source.open(contract))
    return Live(module_of(source, contract, inputs))


def module_of(network: TrainedNetwork, contract: ModelContract, inputs: Mapping[str, Path]) -> nn.Module:
    """One that is trained here, with its weights at `weights@NAME`; with fresh ones where it is not trained yet."""
    from edgekd.training.network import build_network, trained_network

    port = f"weights@{network.name}"
    with placed(network.model_place):
        if port not in inputs:
            return build_network(network.model, contract, seed=0)
        return trained_network(network.model, contract, inputs[port])


def answers_identity(
    sources: Sequence[Network],
    inputs: Mapping[str, Path],
    rows: NDArray[np.int64],
    modality: str,
    libraries: Sequence[str],
) -> dict[str, str]:
    """By source, what decides its answer to a sample that it is shown, as a digest; rows: which samples these are."""
    if not sources:
        return {}
    samples: dict[str, JsonValue] = {
        "train": file_digest(inputs["train"]),
        "rows": hashlib.sha256(rows.tobytes()).hexdigest(),
        "contract": file_digest(inputs["contract"]),
        "modality": training_identity(modality),
        "code": dict(closure("edgekd.training.recorded")),
        "libraries": versions(tuple(libraries)),
    }

    def decided(source: Network) -> dict[str, JsonValue]:
        if isinstance(source, GivenNetwork):
            return {"teacher": source.identity()}
        return {"teacher": source.model.identity(), "weights": file_digest(inputs[f"weights@{source.name}"])}

    return {each.name: digest({**samples, **decided(each)}) for each in sources}


def doubts(
    network: TrainedNetwork, sources: Sequence[Network], module: nn.Module, teachers: Mapping[str, Teaching]
) -> Iterator[str]:
    """Why it may not be worth learning from them, in words."""
    from edgekd.training.losses.base import SoftenedLoss
    from edgekd.training.network import count_parameters
    from edgekd.training.teachers import Live

    softened = any(isinstance(loss, SoftenedLoss) for loss in network.losses)
    for source in sources:
        if softened and isinstance(source, TrainedNetwork) and _smoothed(source):
            yield (
                f"{source.name} was trained with label smoothing, which hides what a soft answer tells: it is right "
                "more often and teaches less (Müller et al. 2019)"
            )
    size = count_parameters(module)
    for name, teacher in teachers.items():
        if isinstance(teacher, Live) and size >= count_parameters(teacher.module):
            yield (
                f"{network.name} has {size:,} parameters, {name} {count_parameters(teacher.module):,}: "
                "nothing is gained by distilling"
            )


def _smoothed(network: TrainedNetwork) -> bool:
    from edgekd.training.losses.cross_entropy import CrossEntropy

    return any(isinstance(loss, CrossEntropy) and loss.label_smoothing > 0 for loss in network.losses)
