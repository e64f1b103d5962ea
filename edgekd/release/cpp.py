"""predict.cpp: a program for this bundle alone, with what the manifest says as constants."""

from __future__ import annotations

from collections.abc import Sequence

from edgekd.records.bundle import Manifest, SessionSettings
from edgekd.release.cpp_source import BODY, HEAD

LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "static_cast<GraphOptimizationLevel>(3)",  # ORT_ENABLE_LAYOUT, which older headers do not name
    "all": "ORT_ENABLE_ALL",
}


def cpp_program(manifest: Manifest) -> str:
    """The source; the session is the first target's, as it is predict.py's by default."""
    session = next(iter(manifest.targets.values())).session
    return HEAD + "\n".join((*_model_lines(manifest), *_session_lines(session))) + "\n" + BODY


def cpp_string(text: str) -> str:
    """A string literal of the text's UTF-8 bytes, in ASCII.

    Whatever is not plainly printable becomes three octal digits: they end by themselves, unlike hexadecimal ones.
    Question marks do too, for two of them begin a trigraph.
    """
    return '"' + "".join(_character(byte) for byte in text.encode()) + '"'


def _character(byte: int) -> str:
    plain = 0x20 <= byte < 0x7F and chr(byte) not in '"\\?'
    return chr(byte) if plain else f"\\{byte:03o}"


def _model_lines(manifest: Manifest) -> list[str]:
    image = manifest.contract.image
    (fed,), (answered, *_) = manifest.model.inputs, manifest.model.outputs
    batch = fed.shape[0] if isinstance(fed.shape[0], int) else 1
    return [
        f"constexpr const char* MODEL_FILE = {cpp_string(manifest.model_file)};",
        f"constexpr const char* INPUT = {cpp_string(fed.name)};",
        f"constexpr const char* OUTPUT = {cpp_string(answered.name)};",
        f"constexpr std::size_t BATCH = {batch};",
        f"constexpr std::size_t CHANNELS = {image.channels};",
        f"constexpr std::size_t HEIGHT = {image.height};",
        f"constexpr std::size_t WIDTH = {image.width};",
        f"constexpr double MEAN[CHANNELS] = {_numbers(image.mean)};",
        f"constexpr double STD[CHANNELS] = {_numbers(image.std)};",
        "constexpr std::string_view CLASSES[] = {",
        *(f"    {cpp_string(name)}sv," for name in manifest.contract.classes),
        "};",
    ]


def _session_lines(session: SessionSettings) -> list[str]:
    spinning = "1" if session.spinning else "0"
    entries = {
        "session.intra_op.allow_spinning": spinning,
        "session.inter_op.allow_spinning": spinning,
        **session.options,
    }
    return [
        f"constexpr const char* PROVIDER = {cpp_string(session.provider)};",
        f"constexpr int THREADS = {session.threads};",
        f"constexpr int INTER_OP_THREADS = {session.inter_op_threads};",
        f"constexpr ExecutionMode EXECUTION = {'ORT_PARALLEL' if session.inter_op_threads > 1 else 'ORT_SEQUENTIAL'};",
        f"constexpr GraphOptimizationLevel OPTIMISATION = {LEVELS[session.optimisation]};",
        "constexpr const char* SESSION_OPTIONS[][2] = {",
        *(f"    {{{cpp_string(key)}, {cpp_string(value)}}}," for key, value in entries.items()),
        "};",
    ]


def _numbers(values: Sequence[float]) -> str:
    return "{" + ", ".join(repr(float(value)) for value in values) + "}"
