"""Files in ONNX Runtime's own format: the same bytes for the same model, and the operators that a build must have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flatbuffers
from onnxruntime.tools.ort_format_model import OperatorTypeUsageManager, OrtFormatModelProcessor
from ort_flatbuffers_py.fbs import (  # onnxruntime.tools makes it importable
    ArgTypeAndIndex,
    InferenceSession,
    KernelTypeStrArgsEntry,
    KernelTypeStrResolver,
    OpIdKernelTypeStrArgsEntry,
)

from edgekd.errors import StageError

ALIGNMENT = 16  # of the numbers in such a file
IDENTIFIER = b"ORTM"
BLOCKED_LAYOUT = "com.microsoft.nchwc"
"""The domain of operators on blocks of as many channels as a vector register of the processor holds."""

HINT = "is the device's disk or memory failing? run it again"

Operators = dict[str, dict[int, set[str]]]
"""Names by domain and by the operator set that they are of."""


def canonical(content: bytes) -> bytes:
    """The same model with the table of what its operators' types depend on in order: the runtime writes that in
    another one each time.

    A FlatBuffer is written from its end: first the model, then that table, then what holds both. The model stays as it
    is, byte for byte, and the rest is written anew before it.

    Raises:
        StageError: it is damaged.

    Source: onnxruntime/core/flatbuffers/schema/ort.fbs.
    """
    with readable():
        return _canonical(bytearray(content))


@contextmanager
def readable() -> Iterator[None]:
    """Makes one line of whatever is raised over a damaged file: what comes from a device may be anything."""
    try:
        yield
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StageError(f"what the device made of the model cannot be read: {reason}", hint=HINT) from error


def _canonical(buffer: bytearray) -> bytes:
    session = InferenceSession.InferenceSession.GetRootAs(buffer, 0)
    model = session.Model()._tab
    described = model.Pos - flatbuffers.encode.Get(flatbuffers.packer.soffset, buffer, model.Pos)
    kept = buffer[min(model.Pos, described) :]
    builder = flatbuffers.Builder(len(buffer))
    builder.head = len(builder.Bytes) - len(kept)
    builder.Bytes[builder.head :] = kept
    builder.minalign = ALIGNMENT
    at = len(buffer) - model.Pos  # from the end, as the builder counts
    version = builder.CreateString(session.OrtVersion())
    resolver = _write_resolver(builder, session.KernelTypeStrResolver())
    InferenceSession.Start(builder)
    InferenceSession.AddOrtVersion(builder, version)
    InferenceSession.AddModel(builder, at)
    InferenceSession.AddKernelTypeStrResolver(builder, resolver)
    builder.Finish(InferenceSession.End(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _write_resolver(builder: Any, resolver: Any) -> int:
    operators = [resolver.OpKernelTypeStrArgs(n) for n in range(resolver.OpKernelTypeStrArgsLength())]
    written = [_write_operator(builder, each) for each in sorted(operators, key=lambda each: each.OpId())]
    entries = _vector(builder, KernelTypeStrResolver.StartOpKernelTypeStrArgsVector, written)
    KernelTypeStrResolver.Start(builder)
    KernelTypeStrResolver.AddOpKernelTypeStrArgs(builder, entries)
    return int(KernelTypeStrResolver.End(builder))


def _write_operator(builder: Any, operator: Any) -> int:
    types = [operator.KernelTypeStrArgs(n) for n in range(operator.KernelTypeStrArgsLength())]
    written = [_write_type(builder, each) for each in sorted(types, key=lambda each: each.KernelTypeStr())]
    name = builder.CreateString(operator.OpId())
    entries = _vector(builder, OpIdKernelTypeStrArgsEntry.StartKernelTypeStrArgsVector, written)
    OpIdKernelTypeStrArgsEntry.Start(builder)
    OpIdKernelTypeStrArgsEntry.AddOpId(builder, name)
    OpIdKernelTypeStrArgsEntry.AddKernelTypeStrArgs(builder, entries)
    return int(OpIdKernelTypeStrArgsEntry.End(builder))


def _write_type(builder: Any, kind: Any) -> int:
    written = []
    for number in range(kind.ArgsLength()):
        ArgTypeAndIndex.Start(builder)
        ArgTypeAndIndex.AddArgType(builder, kind.Args(number).ArgType())
        ArgTypeAndIndex.AddIndex(builder, kind.Args(number).Index())
        written.append(ArgTypeAndIndex.End(builder))
    name = builder.CreateString(kind.KernelTypeStr())
    entries = _vector(builder, KernelTypeStrArgsEntry.StartArgsVector, written)
    KernelTypeStrArgsEntry.Start(builder)
    KernelTypeStrArgsEntry.AddKernelTypeStr(builder, name)
    KernelTypeStrArgsEntry.AddArgs(builder, entries)
    return int(KernelTypeStrArgsEntry.End(builder))


def _vector(builder: Any, start: Any, offsets: list[int]) -> int:
    start(builder, len(offsets))
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def operators_of(files: Iterable[Path]) -> tuple[Operators, OperatorTypeUsageManager]:
    """The operators of all the files in this format, and the types that they are used with.

    Raises:
        StageError: one is damaged.
    """
    found: Operators = {}
    types = OperatorTypeUsageManager()
    for file in files:
        with readable():
            OrtFormatModelProcessor(str(file), found, types).process()
    return found, types


def required_operators(optimised: Path, on_the_way: Iterable[Path]) -> str:
    """The configuration of a build of ONNX Runtime that holds the operators of a model and no others.

    optimised: the model as it runs; on_the_way: as it is before and between the steps of optimisation, for a build
    that does these itself; all in ONNX Runtime's own format.

    Raises:
        StageError: one is damaged.

    Source: onnxruntime.ai/docs/reference/operators/reduced-operator-config-file.html.
    """
    runs, _ = operators_of([optimised])
    needed, types = operators_of([optimised, *on_the_way])
    passing: Operators = {
        domain: {opset: names - runs.get(domain, {}).get(opset, set()) for opset, names in versions.items()}
        for domain, versions in needed.items()
    }
    lines = ["# what runs, after the runtime's own optimisation", *_lines(runs, types)]
    further = _lines(passing, types)
    if further:
        lines += ["# what the file holds at load, and what is made of it on the way", *further]
    return "\n".join(lines) + "\n"


def _lines(operators: Operators, types: OperatorTypeUsageManager) -> list[str]:
    return [
        f"{domain};{opset};" + ",".join(f"{name}{types.get_config_entry(domain, name) or ''}" for name in sorted(names))
        for domain, versions in sorted(operators.items())
        for opset, names in sorted(versions.items())
        if names
    ]
