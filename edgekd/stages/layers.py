"""The layers of a pipeline's networks, by the names that taps take."""

from __future__ import annotations

from edgekd.config.networks import STUDENT, network_sections
from edgekd.config.pipeline import Pipeline
from edgekd.models.base import Model, blank_inputs
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.store import Store, store_root
from edgekd.progress import Progress
from edgekd.records.contract import ModelContract
from edgekd.stages.assembly import assemble
from edgekd.stages.files import load_record
from edgekd.stages.network_graph import networks_of
from edgekd.stages.networks import TrainedNetwork


def layers_of(pipeline: Pipeline, progress: Progress) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """Of each network that is made here, the name of every layer and the shape of its output without the batch.

    The data stage is run if the store has no result of it: the networks are made for its contract.
    """
    from edgekd.training.network import build_network
    from edgekd.training.taps import layers

    engine = Engine(Store(store_root()), progress)
    (data,) = engine.run(assemble(pipeline), Selection(until="data"))
    contract = load_record(ModelContract, engine.paths(data.record.outputs)["contract"])
    inputs = blank_inputs(contract, 2)
    own = (*network_sections(pipeline.config), STUDENT)
    models: dict[str, Model] = {}
    for name, network in networks_of(pipeline).items():
        if isinstance(network, TrainedNetwork):
            if name in own:  # the others are one of these again
                models[name] = network.model
            models |= {each.name: each.model for each in network.peers if each.name not in models}
    return {
        name: layers(build_network(model, contract, pipeline.config.seed), inputs) for name, model in models.items()
    }
