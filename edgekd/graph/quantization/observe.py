"""The activations of a model, a few samples at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from edgekd.graph.runtime import BATCH, answers, load_session
from edgekd.temporary import temporary_folder

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows, Feeds

HELD_BYTES = 2**26  # of activations that are in memory at once; what the runtime needs to make them comes on top
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
CUTTING = ("Clip", "Relu")


class Observer:
    """Runs an fp32 model and shows what its operators read and write.

    Raises:
        StageError: the runtime refuses the model.
    """

    def __init__(self, model: Path, operators: Sequence[str]) -> None:
        proto = onnx.shape_inference.infer_shapes(onnx.load(model))
        self.ranged_as = _ranged_as(proto.graph, operators)
        """By the name of each activation, the one that gives its range; as they come in the graph."""
        self._name = model.name
        self._inputs = [each.name for each in proto.graph.input]
        self._fixed = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value or None
        given = {each.name for each in proto.graph.output}
        self._wanted = sorted(set(self.ranged_as.values()) - set(self._inputs))
        proto.graph.output.extend(
            each for each in proto.graph.value_info if each.name in self._wanted and each.name not in given
        )
        with temporary_folder() as folder:
            shown = folder / "shown.onnx"
            onnx.save(proto, shown)
            self._session = load_session(shown)

    def batches(self, feeds: FedRows) -> Iterator[Feeds]:
        """The activations that give a range, of all samples: float (n, ...) by name, in batches.

        What fills up the last batch of a model with a fixed one is cut off again. Where an activation has something
        else than samples along its first axis that cannot be done; what fills up are samples of the same batch, so
        that its extremes stay right.
        """
        samples = len(next(iter(feeds.values())))
        size = self._fixed or self._at_once(feeds)
        for start in range(0, samples, size):
            yield self._observed({name: feeds[name][start : start + size] for name in self._fed(feeds)})

    def _fed(self, feeds: FedRows) -> list[str]:
        return [name for name in self._inputs if name in feeds]

    def _at_once(self, feeds: FedRows) -> int:
        """How many samples are run together, by what one takes."""
        one = self._observed({name: feeds[name][:1] for name in self._fed(feeds)})
        return max(1, min(BATCH, HELD_BYTES // max(1, sum(each.nbytes for each in one.values()))))

    def _observed(self, batch: Feeds) -> Feeds:
        rows = len(next(iter(batch.values())))
        if self._fixed:
            again = np.arange(self._fixed) % rows
            batch = {name: array[again] for name, array in batch.items()}
        outputs = answers(self._session, self._wanted, batch, self._name) if self._wanted else []
        found = dict(zip(self._wanted, outputs, strict=True))
        found |= {name: batch[name] for name in self.ranged_as.values() if name in batch}
        if self._fixed:
            return {name: each[:rows] if each.shape[:1] == (self._fixed,) else each for name, each in found.items()}
        return found


def _ranged_as(graph: onnx.GraphProto, operators: Sequence[str]) -> dict[str, str]:
    """The activations of those operators, each with the one that gives its range: itself, or what a ReLU or Clip that
    alone reads it makes of it, for the runtime computes the two as one."""
    constants = {tensor.name for tensor in graph.initializer}
    floats = {
        value.name
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type in FLOATS and value.name not in constants
    }
    reads = Counter(name for node in graph.node for name in node.input)
    found: dict[str, str] = {}
    for node in reversed(graph.node):  # what comes after is known first
        if node.op_type not in operators:
            continue
        for name in (*node.output, *node.input):
            if name in floats:
                found.setdefault(name, name)
        if node.op_type in CUTTING and reads[node.input[0]] == 1 and {node.input[0], node.output[0]} <= set(found):
            found[node.input[0]] = found[node.output[0]]
    return dict(reversed(found.items()))
