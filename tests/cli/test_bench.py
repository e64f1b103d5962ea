"""`edgekd bench` and `edgekd check` through the real command, on models of any origin."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgekd.cli import main
from edgekd.records.bundle import Manifest
from edgekd.release.bundle import BundleInputs, build_bundle
from tests.command import Place
from tests.harness.conftest import convolutions, save_model
from tests.release.conftest import inputs  # noqa: F401 - a fixture

TARGET = """\
name: here
device: local
runtime: {threads: 1}
limits: {LIMITS}
measure: {seconds: 2}
"""


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Here:
    """The command in this process, in a folder with two models: imports are paid for once."""

    folder: Path
    patch: pytest.MonkeyPatch
    captured: pytest.CaptureFixture[str]

    def edgekd(self, *arguments: str | Path) -> Done:
        self.patch.setattr("sys.argv", ["edgekd", *map(str, arguments)])
        self.captured.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        told = self.captured.readouterr()
        assert isinstance(end.value.code, int)
        return Done(end.value.code, told.out, told.err)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    convolutions(tmp_path / "small.onnx", 8, 3, 14)
    convolutions(tmp_path / "big.onnx", 32, 6, 28)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return Here(tmp_path, monkeypatch, capsys)


def target(place: Here, limits: str = "{}") -> Path:
    path = place.folder / "here.yaml"
    path.write_text(TARGET.replace("{LIMITS}", limits))
    return path


def test_bench_compares_models_side_by_side(place: Here) -> None:
    files = ("--save", "out.json", "--samples", "raw.npz")
    done = place.edgekd("bench", "big.onnx", "small.onnx", "--seconds", "3", *files)
    assert done.returncode == 0, done.stderr
    for word in ("big.onnx", "small.onnx", "p50", "p90", "ratio to first", "faster", "cold start", "peak memory"):
        assert word in done.stdout
    saved = json.loads((place.folder / "out.json").read_text())
    assert saved["schema"] == 1
    assert saved["mode"] == "back-to-back"
    assert saved["target"] == "local"
    (pair,) = saved["comparisons"]
    assert (pair["model"], pair["baseline"], pair["outcome"]) == ("small.onnx", "big.onnx", "faster")
    assert pair["interval"][0] <= pair["ratio"] <= pair["interval"][1]
    assert saved["environment"]["machine"]["onnxruntime"]
    assert (place.folder / "raw.npz").is_file()


def test_bench_prints_json_for_machines_and_nothing_else(place: Here) -> None:
    np.save(place.folder / "x.npy", np.zeros((3, 1, 14, 14), np.float32))
    options = ("--json", "--seconds", "1", "--input", "x.npy", "--target", target(place))
    done = place.edgekd("bench", "small.onnx", *options)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["target"] == "here"
    assert [model["name"] for model in told["models"]] == ["small.onnx"]
    assert told["comparisons"] == []


def test_bench_needs_no_torch(place: Here) -> None:
    (place.folder / "torch.py").write_text("raise ImportError('torch was imported')")
    blocked = Place(place.folder, {"PYTHONPATH": str(place.folder)})
    assert blocked.edgekd("bench", "small.onnx", "--seconds", "0.5").returncode == 0


def test_what_is_undecided_exits_with_3_and_says_what_would_decide(place: Here) -> None:
    done = place.edgekd("bench", "small.onnx", "small.onnx", "--seconds", "0.5", "--margin", "0.0001", "--json")
    told = json.loads(done.stdout)
    names = [model["name"] for model in told["models"]]
    assert names == ["small.onnx", "small.onnx (2)"]
    if told["decided"]:  # half a second may still, wrongly, decide: one time in a hundred
        assert done.returncode == 0
    else:
        assert done.returncode == 3
        assert told["would_decide"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere.onnx"], 2, "nowhere.onnx"),
        (["text.onnx"], 2, "text.onnx is not an ONNX model"),
        (["cut.onnx"], 2, "cut.onnx is not an ONNX model"),
        (["small.onnx", "--seconds", "0"], 2, "--seconds: measure.seconds: input should be greater than 0"),
        (["small.onnx", "--margin", "-1"], 2, "--margin: measure.margin: "),
        (["small.onnx", "--every", "0"], 2, "--every 0: expected milliseconds above 0"),
        (["small.onnx", "--every", "5", "--clients", "2"], 2, "two ways to measure"),
        (["small.onnx", "--deadline", "5"], 2, "--deadline belongs to --every"),
        (["small.onnx", "--shape", "x"], 2, "expected NAME=SIZES"),
        (["small.onnx", "--shape", "x=²"], 2, "expected NAME=SIZES"),
        (["small.onnx", "--input", "nowhere.npy"], 2, "no such input file: nowhere.npy"),
        (["small.onnx", "--end-to-end"], 2, "small.onnx is a plain model"),
        (["small.onnx", "--target", "nowhere.yaml"], 2, "no such file: nowhere.yaml"),
        (["free.onnx"], 2, "no shape is given"),
        (["nan.onnx"], 4, "nan.onnx returns NaN"),
    ],
)
def test_bad_input_is_one_clear_line(place: Here, arguments: list[str], code: int, says: str) -> None:
    (place.folder / "text.onnx").write_text("this is no model")
    (place.folder / "cut.onnx").write_bytes((place.folder / "big.onnx").read_bytes()[:5000])
    save_model(place.folder / "nan.onnx", [helper.make_node("Log", ["x"], ["y"])])
    save_model(place.folder / "free.onnx", [helper.make_node("Relu", ["x"], ["y"])], shape=("n", "rows", 4))
    done = place.edgekd("bench", *arguments)
    assert done.returncode == code
    lines = [line for line in done.stderr.splitlines() if not line.startswith("hint:") and "measure" not in line[:9]]
    assert len(lines) == 1
    assert says in lines[0]


def test_an_option_that_does_not_fit_the_target_file_is_named_as_it_was_given(place: Here) -> None:
    (place.folder / "odd.yaml").write_text("name: odd\ndevice: local\nmeasure: 5\n")
    done = place.edgekd("bench", "small.onnx", "--target", "odd.yaml", "--seconds", "4")
    assert done.returncode == 2
    assert done.stderr.startswith("--seconds measure.seconds: ")


def test_a_target_file_is_checked_with_its_line(place: Here) -> None:
    path = target(place)
    path.write_text(path.read_text().replace("seconds: 2", "seconds: 0"))
    done = place.edgekd("bench", "small.onnx", "--target", path)
    assert done.returncode == 2
    assert f"{path}:5: measure.seconds: input should be greater than 0" in done.stderr


def test_check_passes_within_the_limits(place: Here) -> None:
    limits = "{p90_latency_ms: 1000, model_bytes: 1000000, peak_rss_mb: 1000, cold_start_ms: 60000}"
    done = place.edgekd("check", "small.onnx", "--target", target(place, limits))
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("p90_latency_ms", "model_bytes", "peak_rss_mb", "cold_start_ms"):
        assert f"✓ {name}" in done.stdout
    assert "verdict: pass" in done.stdout


def test_check_refuses_what_breaks_a_limit(place: Here) -> None:
    done = place.edgekd("check", "big.onnx", "--target", target(place, "{p90_latency_ms: 0.001}"), "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["verdict"] == "fail"
    assert [check["outcome"] for check in told["checks"]] == ["fail"]


def test_check_refuses_what_got_slower_and_bigger_than_the_last_release(place: Here) -> None:
    done = place.edgekd("check", "big.onnx", "--against", "small.onnx", "--target", target(place))
    assert done.returncode == 1, done.stderr
    assert "✗ latency_vs_baseline" in done.stdout
    assert "✗ bytes_vs_baseline" in done.stdout


def test_check_measures_the_speed_up_against_the_teacher_it_is_given(place: Here) -> None:
    path = target(place, "{speedup_vs_teacher: 2}")
    done = place.edgekd("check", "small.onnx", "--target", path, "--teacher", "big.onnx")
    assert done.returncode == 0, done.stderr
    assert "✓ speedup_vs_teacher" in done.stdout
    alone = place.edgekd("check", "small.onnx", "--target", path)
    assert alone.returncode == 2
    assert "nothing to check" in alone.stderr


def test_a_bundle_is_verified_then_checked_against_the_last_one(place: Here, inputs: BundleInputs) -> None:  # noqa: F811
    old, new = place.folder / "old", place.folder / "new"
    build_bundle(inputs, old)
    build_bundle(inputs, new)
    done = place.edgekd("check", new, "--against", old, "--target", target(place, "{model_bytes: 1000000}"))
    assert done.returncode in (0, 3), done.stderr  # the same file: never worse; a busy machine may leave it open
    assert "✓ accuracy_vs_baseline" in done.stdout
    assert "✓ bytes_vs_baseline" in done.stdout
    assert "verified:" in done.stdout
    (new / "fp32.onnx").write_bytes((place.folder / "small.onnx").read_bytes())
    assert place.edgekd("check", new, "--target", target(place)).returncode == 2


def test_the_previous_release_is_verified_as_the_new_one_is(place: Here, inputs: BundleInputs) -> None:  # noqa: F811
    old, new = place.folder / "old", place.folder / "new"
    build_bundle(inputs, old)
    build_bundle(inputs, new)
    (old / "fp32.onnx").write_bytes((place.folder / "small.onnx").read_bytes())
    done = place.edgekd("check", new, "--against", old, "--target", target(place))
    assert done.returncode == 2
    assert done.stderr.startswith(f"{old}: fp32.onnx: ")
    assert "measur" not in done.stderr


def test_a_file_in_a_bundle_is_measured_as_it_ships_and_what_it_was_measured_with_is_said(
    place: Here,
    inputs: BundleInputs,  # noqa: F811
) -> None:
    """Weights stored as int8 fold at load with this option; without it they are converted in every inference."""
    option = {"session.disable_quant_qdq": "1"}
    (name, shipped), *_ = inputs.models.items()
    shipped = replace(shipped, made=shipped.made.model_copy(update={"session": option}))
    folder = place.folder / "bundle"
    build_bundle(replace(inputs, models={name: shipped}), folder)
    (place.folder / "manifest.json").write_text("{}")  # of something else
    (place.folder / "alone.onnx").write_bytes((folder / "fp32.onnx").read_bytes())
    models = (folder, folder / "fp32.onnx", "alone.onnx")
    for mode in ([], ["--every", "10"], ["--clients", "2"]):
        record = json.loads(place.edgekd("bench", *models, *mode, "--seconds", "2", "--json").stdout)
        assert [each["session"] for each in record["models"]] == [option, option, {}], mode
    printed = place.edgekd("bench", *models, "--seconds", "2").stdout
    assert printed.count("session.disable_quant_qdq=") == 2


def test_bundles_are_timed_from_raw_samples_to_label(place: Here, inputs: BundleInputs) -> None:  # noqa: F811
    folder = place.folder / "bundle"
    manifest: Manifest = build_bundle(inputs, folder)
    assert manifest.contract.shape == (1, 4, 3)
    done = place.edgekd("bench", folder, "--end-to-end", "--seconds", "2", "--json")
    assert done.returncode in (0, 3), done.stderr
    assert [model["name"] for model in json.loads(done.stdout)["models"]] == ["bundle", "bundle end to end"]


def test_other_modes_print_their_tables(place: Here) -> None:
    periodic = place.edgekd("bench", "small.onnx", "--every", "10", "--deadline", "5", "--seconds", "2")
    assert periodic.returncode == 0, periodic.stderr
    assert "missed" in periodic.stdout
    clients = place.edgekd("bench", "big.onnx", "small.onnx", "--clients", "2", "--seconds", "2")
    assert clients.returncode == 0, clients.stderr
    assert "inferences/s" in clients.stdout


@pytest.mark.parametrize("option", ["--save", "--samples"])
@pytest.mark.parametrize("path", ["nowhere/x", ".", "small.onnx/x"])
def test_where_results_go_is_checked_before_anything_is_measured(place: Here, option: str, path: str) -> None:
    done = place.edgekd("bench", "small.onnx", option, path, "--seconds", "60")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{option} {path}: ")
    assert "measure" not in done.stderr


def test_what_was_measured_is_shown_even_when_it_cannot_be_kept(place: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refused)
    done = place.edgekd("bench", "small.onnx", "--save", "kept.json", "--seconds", "2")
    assert "small.onnx" in done.stdout
    assert done.returncode == 2
    assert "cannot write kept.json: No space left on device" in done.stderr
    assert not list(place.folder.glob("*kept*")), "nothing half-written"
