"""What a run says of how its files compute, and of what may go wrong with them elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import Place, place_with

PIPELINE = """\
name: small
data: {use: breast_cancer}
teacher: {model: {use: mlp, width: 64}, epochs: 3, min_accuracy: 0}
student: {model: {use: mlp, width: 32, depth: 2}}
distill: {epochs: 3, losses: [{use: kd}]}
quantize: {candidates: [int8_qdq], objective: size, max_accuracy_drop: 1.0}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""
MACS = 30 * 32 + 32 * 32 + 32 * 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    here = place_with(tmp_path_factory.mktemp("proof"), PIPELINE)
    target = here.folder / "here.yaml"
    target.write_text(f'{target.read_text()}oldest_runtime: "1.14"\n')
    done = here.edgekd("run", "p.yaml")
    assert done.returncode in (0, 3), done.stderr
    assert f"int8 100 % of {MACS:,} MACs · cautions: saturation" in done.stderr
    return here


def test_the_record_holds_what_is_multiplied_in_which_type(place: Place) -> None:
    record = json.loads(place.edgekd("show", "--json").stdout)
    made = record["records"]["candidate"]["int8_qdq"]["file"]
    assert (made["execution"]["macs"], made["execution"]["macs_of_file"]) == ({"int8": MACS}, {"float32": MACS})
    assert [each["name"] for each in made["cautions"]] == ["saturation"]
    fp32 = record["records"]["candidate"]["fp32"]["file"]["execution"]
    assert fp32["macs"] == {"float32": MACS}


def test_the_report_says_it_in_a_line_with_the_cautions_of_what_ships(place: Place) -> None:
    shown = place.edgekd("show").stdout
    assert f"fp32: float32 {MACS:,} MACs\nint8_qdq: int8 100 % of {MACS:,} MACs\n" in shown
    assert "! int8_qdq: on an x86 processor without VNNI" in shown
    assert "! int8_qdq: operator set 18 and IR version 8 need ONNX Runtime 1.15, the target has 1.14; set" in shown


def test_what_ships_is_replayed_under_every_level(place: Place) -> None:
    levels = place.last_run()["records"]["levels"]["here"]
    assert (levels["model"], levels["level"], levels["refused"]) == ("int8_qdq", "all", {})
    assert list(levels["agreements"]) == ["none", "basic", "extended", "layout"]
    assert {each["samples"] for each in levels["agreements"].values()} == {levels["samples"]}
    assert "int8_qdq answers " in place.edgekd("show").stdout


def test_the_card_says_what_the_file_computes_in_and_its_limits(place: Place) -> None:
    cards = list(Path(place.folder).glob("runs/*/*/bundle/MODEL_CARD.md"))
    if not cards:
        pytest.skip("a busy machine left the latency undecided, and so there is no bundle")
    card = cards[0].read_text()
    assert f"- int8_qdq: int8 100 % of {MACS:,} MACs, where it was made." in card
    assert "- int8_qdq: on an x86 processor without VNNI" in card
