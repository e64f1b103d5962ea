"""The model card: what the models are, what they learned from, how well they do, and where that ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgekd.data.modalities.base import modality, specs_of
from edgekd.records.bundle import Manifest, TargetEvidence
from edgekd.records.check import Check
from edgekd.records.runtime import RuntimeSettings
from edgekd.release.evidence import CLASSES_SHOWN, accuracy, latency
from edgekd.release.markdown import bullets, table


@dataclass(frozen=True)
class Story:
    """What only the pipeline knows, one sentence each: the data, the training, known limits, and what the files
    compute in."""

    data: tuple[str, ...]
    training: tuple[str, ...]
    limits: tuple[str, ...]
    arithmetic: tuple[str, ...] = ()


def model_card(manifest: Manifest, story: Story, *, in_cpp: bool) -> str:
    """The card as Markdown; `in_cpp`: the bundle has a program in C++ too."""
    kind = modality(manifest.contract.modality)
    told = (("Arithmetic", story.arithmetic), ("Data", story.data), ("Training", story.training))
    sections = [
        f"# {manifest.name}\n\nVerdict of the release gate: **{manifest.outcome.value}**.",
        "## Model\n\n" + table(("", ""), _contract_rows(manifest)) + "\n\n" + _models(manifest),
    ]
    sections += [f"## {title}\n\n{bullets(lines)}" for title, lines in told if lines]
    for name, evidence in manifest.targets.items():
        sections.append(_target(name, evidence, manifest, kind.NOUN))
    sections.append("## Limits\n\n" + bullets((*kind.LIMITS, *_general_limits(), *story.limits)))
    sections.append("## Use\n\n" + _use(in_cpp))
    return "\n\n".join(sections) + "\n"


def _contract_rows(manifest: Manifest) -> Iterable[tuple[str, str]]:
    contract, classes = manifest.contract, manifest.contract.classes
    names = ", ".join(classes) if len(classes) <= CLASSES_SHOWN else f"{len(classes)} classes, named in manifest.json"
    yield from modality(contract.modality).facts(specs_of(contract))
    yield "output", f"`{contract.output}`: one number a class: {names}"


def _models(manifest: Manifest) -> str:
    rows = []
    for name, each in manifest.models.items():
        facts = each.facts
        runtime = f"ONNX Runtime {facts.runtime} or newer" if facts.runtime else "a current ONNX Runtime"
        takers = [target for target, evidence in manifest.targets.items() if evidence.model == name]
        rows.append(
            (
                f"`{each.file}`",
                each.scheme,
                f"{facts.size_bytes:,}",
                f"{facts.parameters:,}",
                f"{runtime} (opset {facts.opset}, IR {facts.ir_version})",
                _options(each.session) or "–",
                ", ".join(takers),
            )
        )
    head = ("file", "scheme", "bytes", "parameters", "runs on", "session options", "ships on")
    return table(head, rows)


def _target(name: str, evidence: TargetEvidence, manifest: Manifest, noun: str) -> str:
    shipped = manifest.models[evidence.model]
    settings = "; ".join(_settings(evidence.runtime, shipped.session))
    parts = [f"## On {name}: {evidence.outcome.value}", f"`{shipped.file}` ships here. {settings}."]
    parts += [" ".join(told)] if (told := list(_for_reduced_builds(evidence))) else []
    if evidence.checks:
        parts.append(_checks(evidence.checks))
    if evidence.accuracy is not None:
        parts += accuracy(evidence.accuracy, manifest.contract.classes, noun)
    if evidence.latency is not None:
        parts += latency(evidence.latency)
    return "\n\n".join(parts)


def _for_reduced_builds(evidence: TargetEvidence) -> Iterable[str]:
    if evidence.ort is not None:
        yield f"`{evidence.ort}` is the same model as it is optimised here, for minimal builds of ONNX Runtime."
    if evidence.required_operators is not None:
        yield f"A build of ONNX Runtime for it alone: `--include_ops_by_config {evidence.required_operators}`."


def _settings(runtime: RuntimeSettings, session: Mapping[str, str]) -> Iterable[str]:
    """What the model was measured under."""
    yield runtime.provider
    yield f"threads: {runtime.threads}"
    if runtime.inter_op_threads > 1:
        yield f"operators side by side: {runtime.inter_op_threads}"
    yield f"optimisation: {runtime.optimisation}"
    if runtime.affinity is not None:
        yield f"cores: {', '.join(str(core) for core in runtime.affinity)}"
    if not runtime.spinning:
        yield "idle workers sleep"
    if runtime.nice is not None:
        yield f"priority of the process: {runtime.nice}"
    if runtime.memory_limit_mb is not None:
        yield f"memory limit: {runtime.memory_limit_mb:g} MB"
    options = _options({**runtime.options, **session})
    if options:
        yield f"session options: {options}"


def _options(session: Mapping[str, str]) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in session.items())


def _checks(checks: Iterable[Check]) -> str:
    rows = [
        (
            check.name,
            f"{check.limit:g}",
            "–" if check.observed is None else f"{check.observed:g}",
            check.outcome.value,
            check.why,
        )
        for check in checks
    ]
    return table(("check", "limit", "observed", "outcome", "why"), rows)


def _general_limits() -> Sequence[str]:
    return (
        "The confidence is the softmax of the logits and was not calibrated.",
        "Times hold for the named machine and settings; another processor can rank models otherwise.",
    )


def _use(in_cpp: bool) -> str:
    text = (
        "    python3 verify.py         # is this bundle whole, does this machine compute the same?\n"
        "    python3 predict.py FILE   # label and confidence\n\n"
        "Both need python3, numpy and onnxruntime, nothing else, and take `--target NAME` for another target than the "
        "first; `manifest.json` says everything above to programs."
    )
    if not in_cpp:
        return text
    return text + (
        " `predict.cpp` does the same in C++ on ONNX Runtime's C API, `--target NAME` included; its first lines say "
        "how to build it."
    )
