"""The programs in C++ of a bundle: predict.cpp, the same in every one, and the two headers that it includes."""

from __future__ import annotations

from pathlib import Path

from edgekd.agent.options import OPTIMISATION, merged
from edgekd.data.modalities.base import cpp_header, modality, specs_of
from edgekd.records.bundle import Manifest, ShippedModel
from edgekd.records.contract import ModelContract
from edgekd.records.runtime import RuntimeSettings

SOURCE = Path(__file__).parent / "device/predict.cpp"
NOT_IN_OLD_HEADERS = {"ORT_ENABLE_LAYOUT": "static_cast<GraphOptimizationLevel>(3)"}


def cpp_headers(manifest: Manifest) -> dict[str, str]:
    """The texts of the headers for a bundle by their names; none where C++ cannot read what the model takes."""
    contract = manifest.contract
    header = cpp_header(contract.modality)
    if header is None or len(contract.inputs) > 1:
        return {}
    return {"model.h": _model_header(manifest), "inputs.h": header.read_text(encoding="utf-8")}


def cpp_string(text: str) -> str:
    """A string literal of the text's UTF-8 bytes, in ASCII.

    Whatever is not plainly printable becomes three octal digits: they end by themselves, unlike hexadecimal ones.
    Question marks do too, for two of them begin a trigraph.
    """
    return '"' + "".join(_character(byte) for byte in text.encode()) + '"'


def _character(byte: int) -> str:
    plain = 0x20 <= byte < 0x7F and chr(byte) not in '"\\?'
    return chr(byte) if plain else f"\\{byte:03o}"


def _model_header(manifest: Manifest) -> str:
    """What the manifest says of the first target's model and settings, as constants."""
    shipped, runtime = manifest.shipped(), next(iter(manifest.targets.values())).runtime
    lines = [
        "// What manifest.json says of the model, the classes and the session of the first target.",
        "",
        "#pragma once",
        "",
        "#include <onnxruntime_c_api.h>",
        "",
        "#include <cstddef>",
        "#include <string_view>",
        "",
        *_model_lines(shipped, manifest.contract),
        *_session_lines(runtime, shipped),
        *modality(manifest.contract.modality).cpp_constants(specs_of(manifest.contract)),
    ]
    return "\n".join(lines) + "\n"


def _model_lines(shipped: ShippedModel, contract: ModelContract) -> list[str]:
    (fed,) = shipped.facts.inputs
    batch = fed.shape[0] if isinstance(fed.shape[0], int) else 1
    return [
        f"constexpr const char* MODEL_FILE = {cpp_string(shipped.file)};",
        f"constexpr const char* INPUT = {cpp_string(contract.inputs[0].name)};",
        f"constexpr const char* OUTPUT = {cpp_string(contract.output)};",
        f"constexpr std::size_t BATCH = {batch};",
        "constexpr std::string_view CLASSES[] = {",
        *(f"    {{{cpp_string(name)}, {len(name.encode())}}}," for name in contract.classes),
        "};",
    ]


def _session_lines(runtime: RuntimeSettings, shipped: ShippedModel) -> list[str]:
    spinning = "1" if runtime.spinning else "0"
    entries = {
        "session.intra_op.allow_spinning": spinning,
        "session.inter_op.allow_spinning": spinning,
        **merged(runtime.model_dump(), shipped.session),
    }
    level = OPTIMISATION[runtime.optimisation]
    return [
        f"constexpr const char* PROVIDER = {cpp_string(runtime.provider)};",
        f"constexpr int THREADS = {runtime.threads};",
        f"constexpr int INTER_OP_THREADS = {runtime.inter_op_threads};",
        f"constexpr ExecutionMode EXECUTION = {'ORT_PARALLEL' if runtime.inter_op_threads > 1 else 'ORT_SEQUENTIAL'};",
        f"constexpr GraphOptimizationLevel OPTIMISATION = {NOT_IN_OLD_HEADERS.get(level, level)};",
        "constexpr const char* SESSION_OPTIONS[][2] = {",
        *(f"    {{{cpp_string(key)}, {cpp_string(value)}}}," for key, value in entries.items()),
        "};",
    ]
