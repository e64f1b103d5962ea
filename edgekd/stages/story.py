"""What the model card says of data and training, from the records of the stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgekd.records.candidate import MadeFile
from edgekd.records.network import NetworkRecord
from edgekd.records.seeds import SeedsRecord
from edgekd.records.splits import SplitsRecord
from edgekd.release.card import Story
from edgekd.stages.files import load_record


def story(inputs: Mapping[str, Path], networks: Sequence[str], shipped: Mapping[str, MadeFile]) -> Story:
    """`inputs` holds `splits`, of each network `training@NAME`, and of each target that has it `seeds@NAME`."""
    splits = load_record(SplitsRecord, inputs["splits"])
    trained = {name: load_record(NetworkRecord, inputs[f"training@{name}"]) for name in networks}
    return Story(
        data=(
            f"{splits.training} and {splits.validation:,} validation {splits.noun}, split by class.",
            f"The {splits.test:,} test {splits.noun} were read once, for the accuracy below.",
            *(f"{doubt[0].upper()}{doubt[1:]}." for doubt in splits.doubts),
            *(
                f"{name}: calibrated on {made.calibration_samples} of the training {splits.noun}."
                for name, made in shipped.items()
                if made.calibration_samples
            ),
        ),
        training=(*_told(trained), *_repeated(inputs)),
        arithmetic=tuple(
            f"{name}: {made.execution.arithmetic}, where it was made."
            for name, made in shipped.items()
            if made.execution.arithmetic
        ),
        limits=tuple(f"{name}: {each.what}; {each.hint}." for name, made in shipped.items() for each in made.cautions),
    )


def _told(trained: Mapping[str, NetworkRecord]) -> Iterator[str]:
    for name, each in trained.items():
        taught = f", learned from {' and '.join(each.learned_from)}" if each.learned_from else ""
        beside = f", trained together with {' and '.join(each.peers)}" if each.peers else ""
        started = f", started with {each.started_from}" if each.started_from else ""
        reused = f" with the {each.reused}" if each.reused else ""
        yield (
            f"{name[0].upper()}{name[1:]}: {each.parameters:,} parameters{reused}{started}{taught}{beside}, "
            f"{each.validation_accuracy:.2%} of validation right before quantization."
        )


def _repeated(inputs: Mapping[str, Path]) -> Iterator[str]:
    for port, path in inputs.items():
        if port.startswith("seeds@"):
            record = load_record(SeedsRecord, path)
            for name in record.accuracies:
                yield (
                    f"Trained with {len(record.seeds)} seeds, {name} on {record.target}: {record.mean(name):.2%} of "
                    f"the test samples right, with a standard deviation of {100 * record.std(name):.2f} points."
                )
