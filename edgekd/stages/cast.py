"""Who takes part in a training: the network, what it starts from and reuses, its peers and its teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from edgekd.config.networks import STUDENT
from edgekd.errors import placed
from edgekd.models.base import blank_inputs
from edgekd.records.contract import ModelContract
from edgekd.records.network import ReuseRecord, StartRecord
from edgekd.stages.networks import Network, Peer, TrainedNetwork
from edgekd.stages.teaching import module_of, teaching

if TYPE_CHECKING:
    from torch import nn

    from edgekd.models.reused import Reused
    from edgekd.training.teachers import Teaching


class Cast(NamedTuple):
    """Who takes part in a training, ready for its first step. network: with the losses that then hold; started, reused:
    what `module` has of others."""

    network: TrainedNetwork
    module: nn.Module
    peers: dict[str, nn.Module]
    teachers: dict[str, Teaching]
    started: StartRecord | None
    reused: ReuseRecord | None


def cast_of(
    network: TrainedNetwork,
    sources: Sequence[Network],
    origin: TrainedNetwork | None,
    lender: TrainedNetwork | None,
    contract: ModelContract,
    inputs: Mapping[str, Path],
    seed: int,
) -> Cast:
    """Everybody, before the first step; sources, origin, lender: as in `TrainStage`.

    Raises:
        ConfigError: a network cannot be made, or does not fit another.
    """
    from edgekd.training.network import build_network
    from edgekd.training.weights import load_weights

    with placed(network.model_place):
        module = build_network(network.model, contract, seed)
    if network.checkpoint is not None:
        with placed(f"{network.section}.checkpoint"):
            load_weights(module, network.checkpoint)
    started = _start(network, origin, module, contract, inputs, seed)
    network, reused = _reuse(network, lender, module, contract, inputs)
    peers = {each.name: _peer(each, contract, seed) for each in network.peers}
    teachers = {each.name: teaching(each, contract, inputs) for each in sources}
    return Cast(network, module, peers, teachers, started, reused)


def _peer(peer: Peer, contract: ModelContract, seed: int) -> nn.Module:
    from edgekd.training.network import build_network
    from edgekd.training.seeds import peer_seed

    with placed(f"{peer.section}.model"):
        return build_network(peer.model, contract, peer_seed(seed, peer.name))


def _start(
    network: TrainedNetwork,
    origin: TrainedNetwork | None,
    module: nn.Module,
    contract: ModelContract,
    inputs: Mapping[str, Path],
    seed: int,
) -> StartRecord | None:
    """Fills the fresh network from the one that it starts from, if it does."""
    if network.start is None or origin is None:
        return None
    given = module_of(origin, contract, inputs)
    samples = blank_inputs(contract, 2)
    with placed(f"{STUDENT if network.name == STUDENT else network.section}.start"):
        taken = network.start.fill(module, given, samples, seed, contract)
    return StartRecord(network=origin.name, tensors=taken.tensors, fresh=dict(taken.fresh))


def _reuse(
    network: TrainedNetwork,
    lender: TrainedNetwork | None,
    module: nn.Module,
    contract: ModelContract,
    inputs: Mapping[str, Path],
) -> tuple[TrainedNetwork, ReuseRecord | None]:
    """Gives the fresh network the classifier that it reuses, if it does; and the network with its losses and the layers
    that they compare then."""
    from edgekd.training.network import build_network, count_parameters

    if lender is None:
        return network, None
    model = cast("Reused", network.model)  # its code counts with the model, where there is one
    reuse = model.lend(module_of(lender, contract, inputs), module)
    losses = tuple(each.reusing(lender.name, reuse) for each in network.losses)
    record = ReuseRecord(
        network=lender.name,
        projector=count_parameters(module.get_submodule(reuse.projector)),
        classifier=count_parameters(module.get_submodule(reuse.classifier)),
        without=count_parameters(build_network(model.body, contract, seed=0)),
    )
    return replace(network, losses=losses), record
