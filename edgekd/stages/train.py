"""train: any network, from labels, from other networks, or from both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.agent.machine import cpu_facts
from edgekd.config.component import identity
from edgekd.config.section import nearest
from edgekd.errors import ConfigError, StageError, placed
from edgekd.pipeline.fingerprint import made_of
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.base import file_digest
from edgekd.records.contract import ModelContract
from edgekd.records.network import NetworkRecord
from edgekd.records.selection import SelectionRecord
from edgekd.stages.cast import Cast, cast_of
from edgekd.stages.modality import training_identity
from edgekd.stages.networks import GivenNetwork, Network, TrainedNetwork
from edgekd.stages.teaching import answers_identity, doubts
from edgekd.stages.together import call_others
from edgekd.training.execution import Execution, execution_here, place_here

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from edgekd.config.training import TrainingOptions
    from edgekd.training.group import Group
    from edgekd.training.loop import TrainingData


@dataclass(frozen=True)
class TrainStage(Stage):
    """sources: the networks that this one learns from; origin: the one that it starts from; lender: the one whose
    classifier it ends in. The weights of those that are trained here arrive at `weights@NAME`. chosen: the network with
    settings that were chosen in a `SelectionRecord` before, which then arrives at `selection`."""

    network: TrainedNetwork
    sources: tuple[Network, ...]
    modality: str
    origin: TrainedNetwork | None = None
    lender: TrainedNetwork | None = None
    chosen: Callable[[Mapping[str, JsonValue]], TrainedNetwork] | None = None

    name = "train"
    outputs = {"weights": "weights.safetensors", "training": "training.json"}
    records = {"training": NetworkRecord}
    seeded = True

    @property
    def libraries(self) -> tuple[str, ...]:
        given = any(isinstance(each, GivenNetwork) for each in self.sources)
        return ("torch", "torchvision", "numpy", "scipy", *(("onnxruntime",) if given else ()))

    @property
    def inputs(self) -> tuple[str, ...]:
        selection = ("selection",) if self.chosen is not None else ()
        return ("train", "validation", "contract", *selection, *(f"weights@{name}" for name in self.weighed))

    @property
    def weighed(self) -> tuple[str, ...]:
        """The networks whose weights it needs, each once."""
        needed = (*self.sources, self.origin, self.lender)
        return tuple(dict.fromkeys(each.name for each in needed if isinstance(each, TrainedNetwork)))

    def identity(self) -> JsonValue:
        network = self.network
        options = {} if network.options is None else identity(network.options)
        return {
            **options,
            "model": network.model.identity(),
            "losses": [loss.identity() for loss in network.losses] if network.options else [],
            "checkpoint": None if network.checkpoint is None else file_digest(network.checkpoint),
            "start": None
            if network.start is None or self.origin is None
            else {"initialiser": network.start.identity(), "model": self.origin.model.identity()},
            "lender": network.lender,
            "teachers": {
                each.name: each.identity() if isinstance(each, GivenNetwork) else each.model.identity()
                for each in self.sources
            },
            "peers": [{"name": each.name, "model": each.model.identity()} for each in network.peers],
            "modality": training_identity(self.modality),
        }

    def environment(self) -> dict[str, JsonValue]:
        if self.network.options is None:
            return {}
        return dict(asdict(self.execution(self.network.options)))

    def execution(self, options: TrainingOptions) -> Execution:
        """How this machine trains by these options."""
        with placed(f"{self.network.section}.device"):
            return execution_here(options, cpu_facts()["isa"])

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.training.group import SINGLE

        if self.network.options is None or place_here().size == 1:
            return self.take_part(context, inputs, SINGLE)
        group = call_others(self.network.name, self.made_of(context.seed), context.seed, inputs)
        return self.take_part(context, inputs, group)

    def made_of(self, seed: int) -> dict[str, JsonValue]:
        """What decides the result beside inputs and machine."""
        return made_of(self, {}, seed)

    def take_part(self, context: Context, inputs: Mapping[str, Path], group: Group) -> str:
        """`run`, as each process of the group does it."""
        if self.chosen is not None:
            choice = SelectionRecord.model_validate_json(inputs["selection"].read_bytes()).best.choice
            stage = replace(self, network=self.chosen(choice), chosen=None)
            return stage.take_part(context, inputs, group)
        from edgekd.stages.files import save_record
        from edgekd.training.loop import train
        from edgekd.training.network import describe_network
        from edgekd.training.preflight import accuracies, outgrown, refuse_useless
        from edgekd.training.recorded import Recordings
        from edgekd.training.weights import save_weights

        assert set(self.weighed) <= {port.removeprefix("weights@") for port in inputs}  # or they would be fresh ones
        chosen, data = self._data(inputs)
        network, module, peers, teachers, started, reused = self._cast(inputs, data.contract, context.seed)
        for warning in doubts(network, self.sources, module, teachers):
            context.warn(warning)
        right = accuracies(teachers, data)
        refuse_useless({each.name: right[each.name] for each in self.sources if isinstance(each, GivenNetwork)}, data)
        result = None
        if network.options is not None:
            result = train(
                module,
                network.losses,
                data,
                network.options,
                seed=context.seed,
                execution=self.execution(network.options),
                work=context.work,
                progress=context.progress,
                section=network.section,
                name=network.name,
                teachers=teachers,
                peers=peers,
                recordings=Recordings(
                    context.cache / "answers",
                    answers_identity(self.sources, inputs, chosen, self.modality, self.libraries),
                ),
                group=group,
            )
        taught_by = tuple(each.name for each in self.sources)
        record = describe_network(module, data, result, taught_by, started, reused, peers)
        for name in outgrown(right, record.validation_accuracy, data):
            context.warn(
                f"{network.name} is right more often than {name} ({right[name]:.2%}): is it worth learning from?"
            )
        save_weights(module, context.output("weights"))
        save_record(context.output("training"), record)
        headline = f"{record.parameters:,} parameters, {record.validation_accuracy:.2%} of validation right"
        if started is not None:
            headline += f" · {started}"
        if reused is not None:
            headline += f" · {reused}"
        headline += "".join(f" · {name} {each.validation_accuracy:.2%}" for name, each in record.peers.items())
        if result is not None and result.speed is not None:
            headline += (
                f" · {result.speed.samples_per_s:,.0f} samples/s, "
                f"{result.speed.matrix_share:.0%} of the rate of plain matrix products"
            )
        return headline

    def rehearse(self, inputs: Mapping[str, Path], seed: int) -> nn.Module:
        """The network after the first step of its training. Others whose weights are not among the inputs, because they
        are not trained yet, have fresh ones.

        Raises:
            ConfigError: anything in the way of that step.
        """
        from edgekd.training.preflight import accuracies, refuse_useless
        from edgekd.training.rehearsal import rehearse

        _, data = self._data(inputs)
        network, module, peers, teachers, _, _ = self._cast(inputs, data.contract, seed)
        given = {each.name: teachers[each.name] for each in self.sources if isinstance(each, GivenNetwork)}
        refuse_useless(accuracies(given, data), data)
        if network.options is not None:
            self.execution(network.options)
            rehearse(
                module,
                network.losses,
                data,
                network.options,
                seed=seed,
                section=network.section,
                teachers=teachers,
                peers=peers,
            )
        return module

    def _data(self, inputs: Mapping[str, Path]) -> tuple[NDArray[np.int64], TrainingData]:
        """Which training samples it is shown, and those with the others."""
        from edgekd.stages.files import load_record, load_split
        from edgekd.training.loop import TrainingData

        contract, train_split = load_record(ModelContract, inputs["contract"]), load_split(inputs["train"])
        chosen = self.rows(train_split.labels, contract.classes)
        return chosen, TrainingData(train_split.only(chosen), load_split(inputs["validation"]), contract)

    def _cast(self, inputs: Mapping[str, Path], contract: ModelContract, seed: int) -> Cast:
        return cast_of(self.network, self.sources, self.origin, self.lender, contract, inputs, seed)

    def rows(self, labels: NDArray[np.int64], classes: Sequence[str]) -> NDArray[np.int64]:
        """Which training samples it is shown in an epoch: without a teacher or a peer those that have a label.

        Where only some have one, each of them is shown several times: so it has as many steps as one that is shown all.

        Raises:
            ConfigError: a class to be left out is none, or nothing is left to learn from.
        """
        import numpy as np

        from edgekd.data.samples import UNLABELLED

        options, section = self.network.options, self.network.section
        shown = labels != UNLABELLED
        everything = bool(self.sources) or (bool(self.network.peers) and bool(shown.any()))
        if everything:
            shown = np.ones(len(labels), dtype=bool)
        for position, name in enumerate(options.leave_out if options else ()):
            if name not in classes:
                where = f"{section}.leave_out.{position}"
                raise ConfigError(f"no class is called {name!r}", where=where, hint=nearest(name, classes))
            shown &= labels != classes.index(name)
        if options is not None and not shown.any():
            raise ConfigError(
                f"{self.network.name} is shown no training sample at all",
                where=section,
                hint="without a teacher it learns from labels alone: see data.labelled, and leave_out",
            )
        rows = np.flatnonzero(shown)
        partly = not everything and bool((labels == UNLABELLED).any())
        return np.resize(rows, len(labels)) if partly else rows

    def accept(self, outputs: Mapping[str, Path]) -> None:
        from edgekd.stages.files import load_record

        reached = load_record(NetworkRecord, outputs["training"]).validation_accuracy
        wanted, section = self.network.min_accuracy, self.network.section
        if reached < wanted:
            raise StageError(
                f"{self.network.name} is right on {reached:.2%} of the validation samples, "
                f"{section}.min_accuracy asks for {wanted:.2%}",
                where=section,
                hint=f"train it for longer, give it more width or data, or lower {section}.min_accuracy",
            )
