"""A torch module as an ONNX file that holds what a device needs and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from edgekd.config.export import ExportOptions
from edgekd.errors import StageError
from edgekd.graph.quantization.layers import layer_names
from edgekd.graph.quiet import quiet
from edgekd.graph.rewrite import pool_spatial_means
from edgekd.graph.slim import slim
from edgekd.models.base import blank_inputs
from edgekd.records.contract import InputSpec, ModelContract

LARGEST_BYTES = 2**31 - 1  # protobuf's limit for one message, and so for a model in one file


def export_onnx(model: nn.Module, contract: ModelContract, path: Path, options: ExportOptions) -> tuple[str, ...]:
    """Writes the model in evaluation mode, batch norms folded, as one file with the same bytes each time.

    The names of the layers with weights, in the order of the graph: the file does not hold them.

    It is called with the inputs of the contract in their order, of which the file takes those that it reads, and keeps
    the mode that it had.

    Raises:
        StageError: an operation has no ONNX counterpart, the batch or the length of an input cannot be dynamic, the
            output is not logits (N, classes), or the file would be too large for a device.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with quiet():
            proto = _exported(model, contract, options)
    except torch.onnx.OnnxExporterError as error:
        raise _told(error) from error
    finally:
        for module, training in modes.items():
            module.training = training
    _drop_unread_inputs(proto.graph)
    _check_shapes(proto, contract, options)
    # the exporter stamps the newest form that it knows; what the operators need is older, and so may the device be
    proto.ir_version = onnx.helper.find_min_ir_version_for(list(proto.opset_import))
    pool_spatial_means(proto)
    layers = layer_names(proto)
    slim(proto)
    if proto.ByteSize() > LARGEST_BYTES:
        raise StageError(f"the model takes {proto.ByteSize()} bytes: more than 2 GB do not fit into one ONNX file")
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    return layers


def _exported(model: nn.Module, contract: ModelContract, options: ExportOptions) -> onnx.ModelProto:
    # two samples stand for any number: torch.export takes one for a constant
    samples = 2 if options.batch == "dynamic" else options.batch
    free = [_free_axes(each, options) for each in contract.inputs]
    program = torch.onnx.export(
        model,
        blank_inputs(contract, samples),
        input_names=[each.name for each in contract.inputs],
        output_names=[contract.output],
        opset_version=options.opset,
        dynamo=True,
        dynamic_shapes=tuple(free) if any(free) else None,
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def _free_axes(spec: InputSpec, options: ExportOptions) -> dict[int, Any]:
    """The dimensions of an input that each call may choose, by their place."""
    axes = {0: torch.export.Dim("batch")} if options.batch == "dynamic" else {}
    if spec.varies:
        # a network may have as many positions as that, and no more
        axes[len(spec.shape)] = torch.export.Dim(f"{spec.name}_length", max=spec.shape[-1])
    return axes


def _drop_unread_inputs(graph: onnx.GraphProto) -> None:
    """A network need not read every input, and a runtime wants to be fed those that a file has."""
    read = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
    for unread in [each for each in graph.input if each.name not in read]:
        graph.input.remove(unread)


def _told(error: BaseException) -> StageError:
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    reason = next((line.strip() for line in str(root).splitlines() if line.strip()), type(root).__name__)
    operator = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", reason)
    if operator:
        return StageError(
            f"the model uses {operator[1]}, which has no ONNX operator",
            hint="replace it in the model by operations that ONNX has; https://onnx.ai/onnx/operators lists them",
        )
    return StageError(
        f"cannot export the model: {reason}",
        hint="its forward may not branch on values of tensors, and must be traceable by torch.export",
    )


def _check_shapes(proto: onnx.ModelProto, contract: ModelContract, options: ExportOptions) -> None:
    if not proto.graph.input:
        raise StageError("the model reads no input", hint="its answers must depend on what it is given")
    batch = _shape(proto.graph.input[0])[0]
    if options.batch == "dynamic" and isinstance(batch, int):  # the exporter says nothing about it
        raise StageError(
            "the model does not take batches of any size",
            hint="make its forward independent of the batch size, or set `export.batch: 1`",
        )
    lengths = {each.name: _shape(each)[-1] for each in proto.graph.input}
    for spec in contract.inputs:
        if spec.varies and isinstance(lengths.get(spec.name), int):
            raise StageError(
                f"the model takes {spec.name!r} of {lengths[spec.name]} places only, where shorter ones may come",
                hint="make its forward independent of the length of that input",
            )
    shapes = [_shape(output) for output in proto.graph.output]
    if shapes != [[batch, len(contract.classes)]]:
        told = " and ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
        raise StageError(
            f"the model's output is {told}, not logits ({batch}, {len(contract.classes)})",
            hint=f"end the model with a layer of {len(contract.classes)} outputs for each sample, one a class",
        )


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dimension.dim_value or dimension.dim_param for dimension in value.type.tensor_type.shape.dim]
