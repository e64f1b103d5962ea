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
HEAD = """\
// What manifest.json says of the classes, and of the model and the session of each target.

#pragma once

#include <onnxruntime_c_api.h>

#include <cstddef>
#include <iterator>
#include <string_view>

struct SessionOption {
    const char* key;
    const char* value;
};

struct Target {
    std::string_view name;
    const char* file;   // of the model, in the bundle's folder
    std::size_t batch;  // samples that the model takes at once
    const char* provider;
    int threads;
    int inter_op_threads;
    ExecutionMode execution;
    GraphOptimizationLevel optimisation;
    const SessionOption* options;
    std::size_t option_count;
};
""".splitlines()
"""The beginning of every model.h."""


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
    """What the manifest says of the classes and of every target's model and settings, as constants."""
    taken = [(name, each.runtime, manifest.models[each.model]) for name, each in manifest.targets.items()]
    lines = [*HEAD, "", *_contract_lines(manifest.contract)]
    for number, (_, runtime, shipped) in enumerate(taken):
        lines += _session_lines(number, runtime, shipped)
    lines.append("constexpr Target TARGETS[] = {")
    for number, (name, runtime, shipped) in enumerate(taken):
        lines += _target_lines(number, name, runtime, shipped)
    lines += ["};", *modality(manifest.contract.modality).cpp_constants(specs_of(manifest.contract))]
    return "\n".join(lines) + "\n"


def _contract_lines(contract: ModelContract) -> list[str]:
    return [
        f"constexpr const char* INPUT = {cpp_string(contract.inputs[0].name)};",
        f"constexpr const char* OUTPUT = {cpp_string(contract.output)};",
        "constexpr std::string_view CLASSES[] = {",
        *(f"    {_view(name)}," for name in contract.classes),
        "};",
    ]


def _session_lines(number: int, runtime: RuntimeSettings, shipped: ShippedModel) -> list[str]:
    spinning = "1" if runtime.spinning else "0"
    entries = {
        "session.intra_op.allow_spinning": spinning,
        "session.inter_op.allow_spinning": spinning,
        **merged(runtime.model_dump(), shipped.session),
    }
    return [
        f"constexpr SessionOption SESSION_{number}[] = {{",
        *(f"    {{{cpp_string(key)}, {cpp_string(value)}}}," for key, value in entries.items()),
        "};",
    ]


def _target_lines(number: int, name: str, runtime: RuntimeSettings, shipped: ShippedModel) -> list[str]:
    """One initialiser of a `Target`, in the order of its members."""
    (fed,) = shipped.facts.inputs
    batch = fed.shape[0] if isinstance(fed.shape[0], int) else 1
    level = OPTIMISATION[runtime.optimisation]
    members = [
        f"{_view(name)},",
        f"{cpp_string(shipped.file)},",
        f"{batch},  // batch",
        f"{cpp_string(runtime.provider)},",
        f"{runtime.threads},  // threads",
        f"{runtime.inter_op_threads},  // inter_op_threads",
        f"{'ORT_PARALLEL' if runtime.inter_op_threads > 1 else 'ORT_SEQUENTIAL'},",
        f"{NOT_IN_OLD_HEADERS.get(level, level)},",
        f"SESSION_{number},",
        f"std::size(SESSION_{number}),",
    ]
    return ["    {", *(f"        {member}" for member in members), "    },"]


def _view(text: str) -> str:
    """The initialiser of a string_view, which may hold zeros."""
    return f"{{{cpp_string(text)}, {len(text.encode())}}}"
