"""A network made for a contract: freshly initialised, or with given weights, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from edgekd.errors import ConfigError
from edgekd.models.adapting import checked_logits
from edgekd.models.base import Model, blank_inputs
from edgekd.records.contract import ModelContract
from edgekd.records.network import NetworkRecord, PeerRecord, ReuseRecord, StartRecord
from edgekd.training.classroom import ALONE_IN_CLASS
from edgekd.training.evaluate import count_right
from edgekd.training.loop import TrainingData, TrainingResult
from edgekd.training.replicas import Replicas
from edgekd.training.weights import load_weights
from edgekd.training.workers import ALONE


def build_network(model: Model, contract: ModelContract, seed: int) -> nn.Module:
    """The module, initialised from the seed, in eval mode.

    Raises:
        ConfigError: it fails on the contract's inputs, or does not give one logit a class.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = model.build(contract).eval()
        shapes = " and ".join(str(each.shape) for each in contract.inputs)
        fails = f"fails on samples of shape {shapes}"
        try:
            with torch.no_grad(), model.called(does=fails):
                logits = network(*blank_inputs(contract, 2))
        except (RuntimeError, ValueError, AssertionError, TypeError) as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ConfigError(
                f"the model {model.use} {fails}: {reason}",
                hint="choose another architecture or other options; of images, `size` may be too small for the stages",
            ) from error
    checked_logits(logits, model.use, (2, len(contract.classes)))
    return network


def trained_network(model: Model, contract: ModelContract, weights: Path) -> nn.Module:
    """The module with weights that an earlier stage saved, in eval mode."""
    network = build_network(model, contract, seed=0)
    load_weights(network, weights)
    return network.eval()


def count_parameters(network: nn.Module) -> int:
    """Learned numbers, frozen ones too; running statistics of batch norm are not among them."""
    return sum(parameter.numel() for parameter in network.parameters())


def describe_network(
    network: nn.Module,
    data: TrainingData,
    result: TrainingResult | None,
    learned_from: tuple[str, ...],
    started_from: StartRecord | None = None,
    reused: ReuseRecord | None = None,
    peers: Mapping[str, nn.Module] = ALONE_IN_CLASS,
) -> NetworkRecord:
    """The record of a network that was trained on `data`, or only loaded."""
    right = result.peers if result else {}
    return NetworkRecord(
        parameters=count_parameters(network),
        validation_correct=count_right(Replicas(network, ALONE), data.validation, data.contract),
        validation_total=len(data.validation),
        learned_from=learned_from,
        peers={
            name: PeerRecord(
                parameters=count_parameters(peers[name]), validation_correct=each, validation_total=len(data.validation)
            )
            for name, each in right.items()
        },
        started_from=started_from,
        reused=reused,
        history=result.history if result else None,
    )
