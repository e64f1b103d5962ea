"""What is tried on a target, and what is refused there by what its own runtime makes of a file."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import JsonValue

from edgekd.config.pipeline import load_pipeline
from edgekd.pipeline.engine import Selection
from edgekd.progress import Silent
from edgekd.records.screening import ChoiceRecord, Screened, ScreeningRecord
from edgekd.stages import session, targets
from edgekd.stages.targets import machine_of

PIPELINE = """\
name: small
data: {use: digits, validation: 0.2}
teacher: {model: {use: conv, width: 4, stages: 2}, epochs: 1, min_accuracy: 0}
student: {model: {use: conv, width: 9, stages: 2}}
distill: {epochs: 1, losses: [{use: kd}]}
quantize:
  max_accuracy_drop: 1.0
  candidates:
    - fp16_weights
    - int8_weights
    - {use: int8_weights, layout: nchw}
    - int8_qdq
    - {use: int8_qdq, reduce_range: true}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""
Screens = Callable[..., tuple[dict[str, Screened], ChoiceRecord]]


@pytest.fixture(scope="module")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Screens:
    """Runs the pipeline to its choice, trained once, on a target with these settings."""
    folder = tmp_path_factory.mktemp("screened")
    (folder / "p.yaml").write_text(PIPELINE)

    def run(runtime: str, *assignments: str) -> tuple[dict[str, Screened], ChoiceRecord]:
        (folder / "here.yaml").write_text(
            f"name: here\ndevice: local\nruntime: {runtime}\nmeasure: {{screen_seconds: 2}}\n"
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDGEKD_STORE", str(folder / "store"))
            loaded = load_pipeline(folder / "p.yaml", assignments=assignments)
            _, record = session.run_pipeline(loaded, Selection(until="choose"), Silent(), runs=folder / "runs")
        (screening,), (choice,) = record.all(ScreeningRecord).values(), record.all(ChoiceRecord).values()
        return {each.name: each for each in screening.candidates}, choice

    return run


def test_constants_fold_on_a_target_that_optimises(screens: Screens) -> None:
    found, choice = screens("{optimisation: all}")
    for name in ("fp16_weights", "int8_weights"):
        runs = found[name].execution
        assert runs is not None
        assert not found[name].refused
        assert "DequantizeLinear" not in runs.operators
        assert runs.operators.get("Cast") == 1, "of the pixels, not of the weights"
    assert found["fp32"].execution == found["int8_weights"].execution
    assert choice.session == found[choice.chosen].session


def test_constants_that_do_not_fold_on_the_target_are_refused_though_they_fold_here(screens: Screens) -> None:
    found, choice = screens("{optimisation: none}")
    for name, count in (("fp16_weights", "4"), ("int8_weights", "3")):
        assert found[name].refused.startswith(f"{name} on here: the weights do not fold at load: ")
        assert f"convert {count} of them again" in found[name].refused
        assert found[name].accuracy is None
    assert choice.chosen in ("fp32", "int8_qdq")


def test_a_layout_is_tried_only_where_the_runtime_would_choose_another(screens: Screens) -> None:
    blocks, _ = screens("{optimisation: all}")
    plain, _ = screens("{optimisation: extended}")
    told = plain["int8_weights_nchw"].refused
    assert told == "runs as int8_weights does: the runtime there arranges nothing in blocks of channels"
    known = blocks["int8_weights"].execution
    assert known is not None
    if not known.rearranges:
        pytest.skip("this processor has no kernels for blocks of channels")
    tried = blocks["int8_weights_nchw"]
    assert not tried.refused
    assert tried.execution is not None
    assert not tried.execution.rearranges
    assert tried.session["optimization.disable_specified_optimizers"] == "NchwcTransformer"


@pytest.mark.parametrize(
    ("machine", "isa", "tried"),
    [
        ("x86_64", ["avx2"], True),
        ("AMD64", ["avx512f"], True),
        ("x86_64", ["avx2", "avx_vnni"], False),
        ("x86_64", ["avx512f", "avx512_vnni"], False),
        ("aarch64", ["asimd"], False),
    ],
)
def test_a_bit_is_given_away_only_where_sums_overflow(
    machine: str, isa: list[str], tried: bool, screens: Screens, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts: dict[str, JsonValue] = {**machine_of_this(), "machine": machine, "isa": list[JsonValue](isa)}
    monkeypatch.setattr(targets, "machine_of", lambda _device: facts)
    found, _ = screens("{optimisation: all}")
    refused = found["int8_qdq_reduced"].refused
    if tried:
        assert not refused
    else:
        assert refused == "needs only 7 of the 8 bits that int8_qdq uses: this processor's sums do not overflow"
    # whoever asks for it alone gets it
    alone, _ = screens("{optimisation: all}", "quantize.candidates=[fp32, {use: int8_qdq, reduce_range: true}]")
    assert not alone["int8_qdq_reduced"].refused


def machine_of_this() -> dict[str, JsonValue]:
    from edgekd.devices.local import Local

    return machine_of(Local(use="local"))
