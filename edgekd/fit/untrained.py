"""Untrained networks: what they are made of, and the files that could ship of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import FedRows, shipped_contract
from edgekd.errors import ConfigError, StageError
from edgekd.fit.shape import Network, Operation
from edgekd.graph.device_form import DeviceForm
from edgekd.graph.export import export_onnx
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import StaticInt8
from edgekd.graph.quiet import quiet
from edgekd.graph.rewrite import pool_spatial_means
from edgekd.graph.slim import slim
from edgekd.models.base import Model, blank_inputs
from edgekd.records.candidate import MadeFile
from edgekd.records.contract import ModelContract
from edgekd.training.network import count_parameters

CALIBRATED_ON = 8
"""Training samples."""
FREE = frozenset({
    "_native_batch_norm_legit_no_training", "_unsafe_view", "alias", "clone", "detach", "dropout", "empty", "expand",
    "native_batch_norm", "permute", "relu", "relu_", "reshape", "squeeze", "t", "transpose", "unsqueeze", "view",
})  # fmt: skip
"""What the runtime joins to another operator or does nothing for."""


def untrained(model: Model, contract: ModelContract, seed: int) -> nn.Module:
    """The module of a shape with fresh weights, in eval mode; its batch norms as if they had seen data: fresh ones have
    so many equal zeros that its file would be smaller than that of a trained one.

    Raises:
        ConfigError: the shape does not suit the input.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        module = model.build(contract).eval()
        for part in module.modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                for tensor in (part.bias, part.running_mean):
                    if tensor is not None:
                        tensor.normal_(0, 0.1)
    return module


def network_of(module: nn.Module, contract: ModelContract) -> Network:
    """What a module is made of.

    Raises:
        ConfigError: it fails on the contract's inputs, or does not give one logit a class.
    """
    zeros, seen = blank_inputs(contract, 1), _Seen()
    try:
        with torch.no_grad(), seen:
            logits = module(*zeros)
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(f"the network fails on samples of the data: {reason}") from error
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (1, len(contract.classes)):
        raise ConfigError("the network does not give one logit a class")
    return Network(shipped_parameters(module), tuple(seen.operations))


def shipped_parameters(module: nn.Module) -> int:
    """Weights and biases of its file: of the two numbers a channel that a batch norm learns, one is left, as the bias
    of the convolution before it."""
    folded = (part for part in module.modules() if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)) and part.affine)
    return count_parameters(module) - sum(part.num_features for part in folded)


class _Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not annotate it
    """Notes the operators of an inference of one sample."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        if name not in FREE and isinstance(first, Tensor):
            self.operations.append(_operation(name, args, first))
        return result


def _operation(name: str, args: tuple[Any, ...], result: Tensor) -> Operation:
    tensors = [each for each in args if isinstance(each, Tensor)]
    taken = sum(each.numel() for each in tensors)
    outputs = result.shape[1] if result.ndim > 1 else 1
    places = result.numel() // max(1, outputs)
    if name == "convolution":
        data, weight = args[0], args[1]
        kind = (
            "depthwise"
            if weight.shape[1] == 1 and args[8] > 1
            else "pointwise"
            if weight[0, 0].numel() == 1
            else "conv"
        )
        macs = result.numel() * math.prod(weight.shape[1:])
        return Operation(kind, macs, data.shape[1], outputs, places, data.numel(), weight.numel())
    if name in ("addmm", "mm"):
        data, weight = args[-2], args[-1]
        return Operation("linear", weight.numel(), weight.shape[0], outputs, 1, data.numel(), weight.numel())
    return Operation(name, 0, tensors[0].shape[1] if tensors and tensors[0].ndim > 1 else 1, outputs, places, taken, 0)


def export_untrained(module: nn.Module, contract: ModelContract, path: Path, options: ExportOptions) -> None:
    """Writes what `export_onnx` would, in a fiftieth of the time where torch's older exporter knows all operations.

    Raises:
        StageError: an operation has no ONNX counterpart.
    """
    try:
        with quiet():
            model = _traced(module, contract, path, options)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError):
        export_onnx(module, contract, path, options)
        return
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))
    pool_spatial_means(model)
    _flatten_as_shipped(model)
    slim(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _traced(module: nn.Module, contract: ModelContract, path: Path, options: ExportOptions) -> onnx.ModelProto:
    names = [each.name for each in contract.inputs]
    samples, free = (1, (*names, contract.output)) if options.batch == "dynamic" else (options.batch, ())
    torch.onnx.export(
        module,
        blank_inputs(contract, samples),
        path,
        input_names=names,
        output_names=[contract.output],
        opset_version=options.opset,
        dynamo=False,
        dynamic_axes={name: {0: "batch"} for name in free},
    )
    return onnx.load(path)


def _flatten_as_shipped(model: onnx.ModelProto) -> None:
    """Changes the model: a Flatten becomes the Reshape that the newer exporter writes."""
    shapes = {
        value.name: [each.dim_value for each in value.type.tensor_type.shape.dim]
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    for node in model.graph.node:
        shape = shapes.get(node.output[0], [])
        if node.op_type == "Flatten" and len(shape) == 2 and shape[1]:
            form = f"{node.output[0]}.form"
            model.graph.initializer.append(numpy_helper.from_array(np.array([-1, shape[1]]), form))
            node.CopyFrom(helper.make_node("Reshape", [node.input[0], form], list(node.output), allowzero=1))


def quick(scheme: Scheme) -> Scheme:
    """The same, made at once: its ranges from a few samples, its weights not trained further; neither changes what the
    runtime computes, only the numbers."""
    if isinstance(scheme, StaticInt8):
        return scheme.model_copy(update={"calibrate": "minmax", "calibration_samples": CALIBRATED_ON, "finetune": None})
    return scheme


def make_files(
    module: nn.Module,
    contract: ModelContract,
    export: ExportOptions,
    candidates: Mapping[str, Scheme],
    feeds: FedRows,
    stem: Path,
) -> dict[str, MadeFile | str]:
    """What could ship of an untrained network, by candidate, at `stem`.CANDIDATE.onnx, or why it cannot be made. feeds:
    a few training samples.

    Raises:
        StageError: the network cannot be exported.
    """
    fp32 = stem.with_name(f"{stem.name}.onnx")
    export_untrained(module, contract, fp32, export)
    form = DeviceForm(contract, shipped_contract(contract, export))
    files: dict[str, MadeFile | str] = {}
    for name, scheme in candidates.items():
        try:
            files[name] = make_candidate(scheme, fp32, feeds, file_of(stem, name), (), form)
        except StageError as error:
            files[name] = str(error)
    return files


def file_of(stem: Path, candidate: str) -> Path:
    return stem.with_name(f"{stem.name}.{candidate}.onnx")
