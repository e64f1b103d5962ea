# ruff: noqa: E501 - a table reads better with one case a line
"""Who learns from whom: the order of training, and every wrong graph in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.config.networks import training_order
from edgekd.config.pipeline import load_pipeline
from edgekd.errors import ConfigError

GOOD = """\
name: small
data: {use: digits}
teacher: {model: conv, epochs: 2}
networks:
  big: {model: {use: conv, width: 32}, epochs: 2}
  assistant: {model: conv, epochs: 2, from: [teacher, big]}
student: {model: conv}
distill:
  epochs: 2
  from: [assistant]
  losses: [{use: kd}]
targets: [here.yaml]
release: {max_accuracy_drop: 0.02}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here.yaml").write_text("name: here\ndevice: local\n")
    return tmp_path


def test_every_network_is_trained_after_those_that_teach_it(folder: Path) -> None:
    (folder / "p.yaml").write_text(GOOD)
    order = training_order(load_pipeline(folder / "p.yaml").config)
    assert order == ("teacher", "big", "assistant", "student")


def test_the_order_follows_the_graph_and_not_the_file(folder: Path) -> None:
    text = GOOD.replace("  big: {model: {use: conv, width: 32}, epochs: 2}\n", "").replace(
        "student:", "  big: {model: {use: conv, width: 32}, epochs: 2}\nstudent:"
    )
    (folder / "p.yaml").write_text(text)
    order = training_order(load_pipeline(folder / "p.yaml").config)
    assert order.index("big") < order.index("assistant")


@pytest.mark.parametrize(
    ("before", "after", "line", "hint"),
    [
        ("from: [assistant]", "from: [asistant]", "p.yaml:10: distill.from: no network is named 'asistant'", "did you mean 'assistant'?"),
        ("from: [teacher, big]", "from: [teacher, teacher]", "p.yaml:6: networks.assistant.from: 'teacher' stands twice", ""),
        ("epochs: 2}\n  assistant", "epochs: 2, from: [assistant]}\n  assistant", "p.yaml:5: networks learn from each other in a circle: big -> assistant -> big", "labels alone"),
        ("from: [teacher, big]", "from: [assistant]", "p.yaml:6: networks learn from each other in a circle: assistant -> assistant", ""),
        ("from: [teacher, big]", "from: [teacher]", "p.yaml:5: networks.big: nobody learns from it", "distill.from"),
        ("targets:", "variants: {soft: {}}\ntargets:", "p.yaml:12: variants.soft: is the student itself", "losses"),
        ("targets:", "variants: {big: {temperature: 2}}\ntargets:", "p.yaml:12: variants: 'big' is the name of another network", ""),
        ("targets:", "variants: {a.b: {temperature: 2}}\ntargets:", "p.yaml:12: variants: 'a.b' cannot be the name of a network", "letters"),
        ("targets:", "variants: {soft: {from: [bigg]}}\ntargets:", "p.yaml:12: variants.soft.from: no network is named 'bigg'", "did you mean 'big'?"),
        ("  big:", "  control:", "p.yaml:5: networks: 'control' cannot be the name of a network", "meanings of their own"),
        ("  big:", "  a.b:", "p.yaml:5: networks: 'a.b' cannot be the name of a network", ""),
        ("teacher: {model: conv, epochs: 2}", "teacher: {given: {use: onnx, path: t.onnx}, epochs: 2}", "p.yaml:3: teacher.given", "t.onnx"),
        ("student: {model: conv}", "student: {model: conv, start: {use: narrowed, network: techer}}", "p.yaml:7: student.start.network: no network is named 'techer'", "did you mean 'teacher'?"),
        ("student: {model: conv}", "student: {model: conv, start: {use: narrowed}}", "p.yaml:7: student.start.network: is missing", ""),
        ("epochs: 2}\n  assistant", "epochs: 2, start: {use: narrowed, network: assistant}}\n  assistant", "p.yaml:5: networks learn from each other in a circle: big -> assistant -> big", "fresh weights"),
        ("from: [teacher, big]", "from: [big], start: {use: narrowed, network: assistant}", "p.yaml:6: networks learn from each other in a circle: assistant -> assistant", ""),
        ("teacher: {model: conv, epochs: 2}", "teacher: {model: conv, epochs: 2, start: {use: narrowed, network: student}}", "p.yaml:3: teacher.start.network: no network is named 'student'", ""),
        ("  from: [assistant]", "  from: [assistant]\n  peers: {big: {}}", "p.yaml:11: distill.peers: 'big' is the name of another network", "of its own"),
        ("  from: [assistant]", "  from: [assistant]\n  peers: {student: {}}", "p.yaml:11: distill.peers: 'student' cannot be the name of a network", "meanings of their own"),
        ("targets:", "variants: {soft: {peers: {soft: {}}}}\ntargets:", "p.yaml:12: variants.soft.peers: 'soft' is the name of another network", "of its own"),
        ("targets:", "variants: {soft: {peers: {twin: {model: cnov}}}}\ntargets:", "p.yaml:12: variants.soft.peers.twin.model: unknown model 'cnov'", "did you mean 'conv'?"),
        ("networks:\n", "networks:\n  extra: 3\n", "p.yaml:5: networks.extra: expected keys with values, found 3", ""),
    ],
)  # fmt: skip
def test_a_wrong_graph_is_refused_in_one_line(folder: Path, before: str, after: str, line: str, hint: str) -> None:
    assert before in GOOD
    path = folder / "p.yaml"
    path.write_text(GOOD.replace(before, after, 1))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    found = str(caught.value).replace(f"{folder}/", "")
    assert "\n" not in found
    assert found.startswith(line), found
    assert hint in f"{found} {caught.value.hint}"


STARTED = "student: {model: conv, start: {use: narrowed, network: NAME, keep: product}}"


def test_a_network_that_somebody_only_starts_from_is_used_and_is_there_before_it(folder: Path) -> None:
    text = GOOD.replace("from: [teacher, big]", "from: [teacher]")
    (folder / "p.yaml").write_text(text.replace("student: {model: conv}", STARTED.replace("NAME", "big")))
    assert training_order(load_pipeline(folder / "p.yaml").config) == ("teacher", "big", "assistant", "student")
    begun = "epochs: 2, from: [teacher], start: {use: narrowed, network: big}"
    later = GOOD.replace("  big: {model: {use: conv, width: 32}, epochs: 2}\n", "").replace(
        "epochs: 2, from: [teacher, big]}\n", f"{begun}}}\n  big: {{model: conv, epochs: 2}}\n"
    )
    (folder / "p.yaml").write_text(later)
    order = training_order(load_pipeline(folder / "p.yaml").config)
    assert order.index("big") < order.index("assistant")


def test_a_given_network_has_no_weights_to_start_from(folder: Path) -> None:
    (folder / "t.onnx").write_bytes(b"anything")
    text = GOOD.replace("teacher: {model: conv, epochs: 2}", "teacher: {given: {use: onnx, path: t.onnx}}")
    (folder / "p.yaml").write_text(text.replace("student: {model: conv}", STARTED.replace("NAME", "teacher")))
    with pytest.raises(ConfigError, match=r"p\.yaml:7: student\.start\.network: teacher is given") as caught:
        load_pipeline(folder / "p.yaml")
    assert caught.value.hint
    assert "checkpoint" in caught.value.hint


REUSED = "student: {model: conv, classifier: {network: NAME}}"


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (
            "student: {model: conv}",
            REUSED.replace("NAME", "asistant"),
            "student.classifier.network: no network is named 'asistant'",
        ),
        (
            "from: [teacher, big]",
            "from: [big], classifier: {network: assistant}",
            "p.yaml:6: networks learn from each other in a circle: assistant -> assistant",
        ),
        (
            "from: [teacher, big]",
            "from: [teacher, big], classifier: {network: big}, checkpoint: w.safetensors",
            "networks.assistant.classifier: it has its weights from a checkpoint",
        ),
        (
            "student: {model: conv}",
            "student: {model: conv, classifier: {network: big, reduction: 0}}",
            "student.classifier.reduction: input should be",
        ),
        (
            "teacher: {model: conv, epochs: 2}",
            "teacher: {given: {use: onnx, path: w.safetensors}}\nvariants: {sim: {classifier: {network: teacher}}}",
            "variants.sim.classifier.network: teacher is given and only answers: it has no classifier",
        ),
    ],
)
def test_a_classifier_that_cannot_be_reused_is_refused_in_one_line(
    folder: Path, before: str, after: str, line: str
) -> None:
    (folder / "w.safetensors").write_bytes(b"anything")
    (folder / "p.yaml").write_text(GOOD.replace(before, after))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(folder / "p.yaml")
    assert line in str(caught.value)


def test_a_network_of_which_only_the_classifier_is_used_is_used_and_is_there_before(folder: Path) -> None:
    text = GOOD.replace("from: [teacher, big]", "from: [teacher], classifier: {network: big}")
    (folder / "p.yaml").write_text(text)
    assert training_order(load_pipeline(folder / "p.yaml").config) == ("teacher", "big", "assistant", "student")


def test_weights_come_from_a_checkpoint_or_from_another_network(folder: Path) -> None:
    (folder / "w.safetensors").write_bytes(b"anything")
    both = "epochs: 2, checkpoint: w.safetensors, start: {use: narrowed, network: big}, from: [teacher, big]"
    (folder / "p.yaml").write_text(GOOD.replace("epochs: 2, from: [teacher, big]", both))
    with pytest.raises(ConfigError, match=r"networks\.assistant\.start: it has its weights from a checkpoint"):
        load_pipeline(folder / "p.yaml")


def test_a_given_network_is_not_trained_as_well(folder: Path) -> None:
    (folder / "t.onnx").write_bytes(b"anything")
    given = "teacher: {given: {use: onnx, path: t.onnx}"
    for extra, what in (
        ("batch_size: 9", "teacher.batch_size"),
        ("epochs: 2", "teacher.epochs"),
        ("model: conv", "teacher.model"),
        ("from: [big]", "teacher.from"),
        ("start: {use: narrowed, network: big}", "teacher.start"),
    ):
        (folder / "p.yaml").write_text(GOOD.replace("teacher: {model: conv, epochs: 2}", f"{given}, {extra}}}"))
        with pytest.raises(ConfigError, match=what):
            load_pipeline(folder / "p.yaml")


def test_a_network_that_is_only_loaded_learns_from_nobody(folder: Path) -> None:
    (folder / "w.safetensors").write_bytes(b"anything")
    loaded = "epochs: 0, checkpoint: w.safetensors, from: [teacher, big]"
    (folder / "p.yaml").write_text(GOOD.replace("epochs: 2, from: [teacher, big]", loaded))
    with pytest.raises(ConfigError, match=r"networks.assistant.from: it is loaded and learns nothing"):
        load_pipeline(folder / "p.yaml")
