"""A teacher from elsewhere as an ONNX file."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from edgekd.config.component import module_code
from edgekd.config.normalisation import OwnNormalisation
from edgekd.config.paths import BesideFile
from edgekd.data.modalities.base import Feeds
from edgekd.errors import ConfigError
from edgekd.records.base import file_digest
from edgekd.records.contract import ModelContract
from edgekd.teachers.base import Answerer, Teacher, checked_logits
from edgekd.temporary import temporary_folder

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxTeacher(OwnNormalisation, Teacher):
    """An ONNX model that takes the same inputs, normalised as the data says unless `mean` and `std` say otherwise, and
    gives one logit a class. Of texts it may take `input_ids`, `attention_mask` and `token_type_ids`, as transformers
    do: it is given the pieces of `data.tokenizer.vocabulary`, which must be its own."""

    path: BesideFile = Field(description="the ONNX file")

    @property
    def model_file(self) -> Path | None:
        return self.path

    def identity(self) -> JsonValue:
        """Its content, with its external data; where the files lie decides nothing."""
        from edgekd.graph.inspect import external_files

        files = {name: file_digest(self.path.parent / name) for name in external_files(self.path)}
        content: JsonValue = {"model": file_digest(self.path), "beside": dict(files)}
        normalised: JsonValue = None if self.mean is None or self.std is None else [[*self.mean], [*self.std]]
        options: JsonValue = {"use": self.use, "content": content, "normalisation": normalised}
        return {"options": options, "code": module_code(type(self).__module__)}

    def open(self, contract: ModelContract) -> Answerer:
        session = self._session(contract)
        names = _input_names(session, contract, self.path)
        output = _output_name(session, contract, self.path)
        one_by_one = all(each.shape[:1] == [1] for each in session.get_inputs())

        def run(feeds: Feeds) -> NDArray[np.float32]:
            fed = {theirs: feeds[ours] for ours, theirs in names.items()}
            try:
                return cast("NDArray[np.float32]", session.run([output], fed)[0])
            except Exception as error:  # its errors have no base class of their own
                rows = len(next(iter(fed.values())))
                raise ConfigError(
                    f"{self.path}: ONNX Runtime cannot run it on a batch of {rows}: {str(error).splitlines()[0]}",
                    hint="export it with a free batch dimension, or with a batch of 1 in its inputs",
                ) from error

        def answerer(feeds: Feeds) -> NDArray[np.float32]:
            samples = len(next(iter(feeds.values())))
            rows = [slice(row, row + 1) for row in range(samples)] if one_by_one else [slice(None)]
            parts = [run({name: each[row] for name, each in feeds.items()}) for row in rows]
            return checked_logits(np.concatenate(parts), samples, len(contract.classes), self.path.name)

        return answerer

    def _session(self, contract: ModelContract) -> InferenceSession:
        """
        Raises:
            ConfigError: the runtime does not load or survive it.
        """
        from edgekd.graph.adopt import adopt
        from edgekd.graph.inspect import load_model
        from edgekd.graph.token_inputs import reads_pieces

        _tried(self.path, file_digest(self.path))
        texts = any(each.dtype == "int32" for each in contract.inputs)
        if self.normalisation is None and not (texts and reads_pieces(load_model(self.path).graph)):
            return _session(self.path)
        with temporary_folder() as folder:
            adopted = folder / self.path.name
            adopt(self.path, contract, adopted, self.normalisation)
            return _session(adopted)


@functools.cache
def _tried(path: Path, digest: str) -> None:  # noqa: ARG001 - of each content once in a process
    from edgekd.graph.trial import try_out

    try_out(path)


def _session(path: Path) -> InferenceSession:
    """A session on the CPU that leaves the cores to others while it waits."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no base class of their own
        raise ConfigError(f"{path}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from error


def _input_names(session: InferenceSession, contract: ModelContract, path: Path) -> dict[str, str]:
    """The file's name of each input of the contract.

    Raises:
        ConfigError: its inputs are others.
    """
    found = {each.name: each for each in session.get_inputs()}
    given = {each.name: each for each in contract.inputs}
    if len(found) == len(given) == 1:
        names = {contract.inputs[0].name: next(iter(found))}
    else:
        names = {name: name for name in given if name in found}
        if set(found) != set(names):
            raise ConfigError(f"{path}: its inputs are {', '.join(found)}, the data gives {', '.join(given)}")
    for spec in (given[name] for name in names):
        theirs = found[names[spec.name]]
        wanted_type = "tensor(int32)" if spec.dtype == "int32" else "tensor(float)"
        if theirs.type != wanted_type:
            raise ConfigError(f"{path}: its input {theirs.name!r} is {theirs.type}, the data gives {wanted_type}")
        if spec.varies and isinstance(theirs.shape[-1], int):
            raise ConfigError(
                f"{path}: its input {theirs.name!r} takes {theirs.shape[-1]} places only, where shorter ones may come",
                hint="export it with a free length beside the free batch",
            )
        wanted = (0, *spec.shape)
        fits = len(theirs.shape) == len(wanted) and all(
            not isinstance(have, int) or have == want for have, want in zip(theirs.shape[1:], wanted[1:], strict=True)
        )
        if not fits:
            raise ConfigError(
                f"{path}: its input {theirs.name!r} takes {_shown(theirs.shape)}, "
                f"the data gives {_shown(['N', *spec.shape])}"
            )
        if isinstance(theirs.shape[0], int) and theirs.shape[0] != 1:
            raise ConfigError(
                f"{path}: its input {theirs.name!r} takes batches of {theirs.shape[0]} only",
                hint="export it with a free batch dimension, or with a batch of 1",
            )
    return names


def _output_name(session: InferenceSession, contract: ModelContract, path: Path) -> str:
    """
    Raises:
        ConfigError: it has several outputs and none is called as the contract's, or it is not (N, classes).
    """
    from edgekd.graph.adopt import logits_among

    outputs = {str(each.name): each for each in session.get_outputs()}
    output = outputs[logits_among(list(outputs), contract, path)]
    classes = len(contract.classes)
    shape = list(output.shape)
    if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != classes):
        raise ConfigError(
            f"{path}: its output {output.name!r} is {_shown(shape)}, the data has {classes} classes",
            hint="one logit a class, in the order of the classes",
        )
    return str(output.name)


def _shown(shape: list[int | str | None]) -> str:
    return f"({', '.join('N' if each is None else str(each) for each in shape)})"
