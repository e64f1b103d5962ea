"""All candidates of a student on one target, with real files in real processes."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from onnx import helper

from edgekd.config.target import Measuring
from edgekd.devices.base import Device, Ended, Workspace
from edgekd.devices.local import Local, LocalWorkspace
from edgekd.errors import StageError
from edgekd.harness.answers import predict
from edgekd.harness.conversation import ModelRefusedError
from edgekd.harness.counting import MARKS, RUNS
from edgekd.harness.running import Running
from edgekd.harness.screening import Trial, screen
from edgekd.harness.subject import Subject
from edgekd.progress import Silent
from edgekd.records.latency import Speed
from edgekd.records.model import Execution
from edgekd.records.runtime import Optimisation, RuntimeSettings
from edgekd.records.screening import ScreeningRecord
from tests.harness.conftest import save_model
from tests.harness.test_conversation import dividing
from tests.harness.test_counting import counting

ROWS = 300
LABELS = np.random.default_rng(1).integers(0, 4, ROWS)
FEEDS = {"x": np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)}


def stack(path: Path, depth: int, seed: int = 0) -> Path:
    """x (N, 4) through `depth` products with 64 columns to y (N, 4)."""
    generator = np.random.default_rng(seed)
    sizes = [4, *[64] * depth, 4]
    weights = [generator.normal(0, 0.3, shape).astype(np.float32) for shape in itertools.pairwise(sizes)]
    names = ["x", *(f"h{number}" for number in range(depth)), "y"]
    nodes = [helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]]) for n in range(depth + 1)]
    return save_model(path, nodes, {f"w{n}": each for n, each in enumerate(weights)})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("candidates")
    return {
        "fp32": stack(folder / "fp32.onnx", 1),
        "slow": stack(folder / "slow.onnx", 60, seed=1),
        "unknown": save_model(
            folder / "unknown.onnx", [helper.make_node("Fancy", ["x"], ["y"], domain="no")], domains=["no"]
        ),
        "nan": save_model(folder / "nan.onnx", [helper.make_node("Log", ["x"], ["y"])]),
        "deadly": dividing(folder / "deadly.onnx", folded=False),
    }


def screened(
    models: Mapping[str, Subject | Trial],
    *,
    device: Device | None = None,
    seconds: float = 6,
    feeds: Mapping[str, np.ndarray] = FEEDS,
    labels: np.ndarray = LABELS,
    level: Optimisation = "all",
    max_accuracy_drop: float = 1.0,
) -> ScreeningRecord:
    measuring = Measuring(screen_seconds=seconds)
    device = device or Local(use="local")
    trials = {name: each if isinstance(each, Trial) else Trial(each, executed) for name, each in models.items()}
    return screen(
        device,
        RuntimeSettings(optimisation=level),
        measuring,
        "here",
        trials,
        feeds,
        labels,
        max_accuracy_drop,
        0,
        Silent(),
    )


def executed(graph: Path) -> Execution:
    """The operators, read by the ONNX library."""
    counts = Counter(node.op_type for node in onnx.load(graph, load_external_data=False).graph.node)
    return Execution(operators=dict(counts), float_operators={})


@pytest.fixture(scope="module")
def record(files: dict[str, Path]) -> ScreeningRecord:
    twin = Subject(files["fp32"], session={"session.disable_prepacking": "1"})
    wrong = Subject(files["fp32"], session={"session.dynamic_block_base": "no number"})
    models = {name: Subject(path) for name, path in files.items()}
    return screened({**models, "twin": twin, "wrong option": wrong})


def test_every_candidate_stands_in_the_record_in_its_order(record: ScreeningRecord, files: dict[str, Path]) -> None:
    assert [each.name for each in record.candidates] == [*files, "twin", "wrong option"]
    assert (record.target, record.cost, record.validation_samples) == ("here", "time", ROWS)
    assert record.candidate("slow").size_bytes == files["slow"].stat().st_size
    assert record.candidate("twin").session == {"session.disable_prepacking": "1"}


def test_accuracy_is_that_of_the_answers_and_paired_with_the_fp32_file(
    record: ScreeningRecord, files: dict[str, Path], local: Local
) -> None:
    assert [each.samples for each in record.candidates if not each.refused] == [ROWS, ROWS, ROWS]
    answers = predict(local, RuntimeSettings(), {name: files[name] for name in ("fp32", "slow")}, FEEDS, Silent())
    right = {name: each.argmax(axis=1) == LABELS for name, each in answers.items()}
    for name, each in right.items():
        assert record.candidate(name).accuracy == each.mean()
    pair = record.candidate("slow").against_fp32
    assert pair is not None
    assert pair.only_reference_right == (right["fp32"] & ~right["slow"]).sum() > 0
    assert pair.only_model_right == (right["slow"] & ~right["fp32"]).sum() > 0
    assert record.candidate("fp32").against_fp32 is None


def test_times_of_every_pair_are_compared(record: ScreeningRecord) -> None:
    slow, fp32 = (record.candidate(name) for name in ("slow", "fp32"))
    pair = record.comparison("slow", "fp32")
    assert pair is not None
    assert pair.outcome is Speed.SLOWER
    assert slow.p50_s is not None
    assert fp32.p50_s is not None
    assert slow.p50_s > 2 * fp32.p50_s
    same = record.comparison("twin", "fp32")
    assert same is not None
    assert same.pairs >= 3
    # the error is divided among all pairs of those that run
    ran = sum(1 for each in record.candidates if not each.refused)
    assert record.confidence == pytest.approx(1 - 0.01 / (ran * (ran - 1) // 2))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unknown", "unknown: the runtime does not take it: "),
        ("nan", "nan returns NaN or infinity in its output 'y'"),
        ("wrong option", "wrong option: the runtime does not take it: "),
    ],
)
def test_what_cannot_run_there_is_refused_and_the_rest_goes_on(name: str, says: str, record: ScreeningRecord) -> None:
    refused = record.candidate(name)
    assert refused.refused.startswith(says)
    assert "\n" not in refused.refused
    assert (refused.accuracy, refused.p50_s, refused.samples, refused.against_fp32) == (None, None, 0, None)
    assert record.comparison(name, "fp32") is None
    assert not record.candidate("twin").refused


def test_it_is_known_what_the_runtime_there_executes_and_how_long_a_start_took(record: ScreeningRecord) -> None:
    fp32 = record.candidate("fp32")
    assert fp32.execution is not None
    assert fp32.execution.operators == {"MatMul": 2}
    assert fp32.cold_start_s is not None
    assert 0.02 < fp32.cold_start_s < 30, "it is the import of the runtime for the most part"
    assert fp32.p50_s is not None
    assert fp32.cold_start_s > 100 * fp32.p50_s


def test_a_graph_that_is_not_what_the_candidate_is_for_is_refused_by_what_the_target_runs(
    files: dict[str, Path],
) -> None:
    def demanding(graph: Path) -> Execution:
        runs = executed(graph)
        if "Identity" in runs.operators:
            raise StageError("the constants do not fold there")
        return runs

    nodes = [helper.make_node("Identity", ["w"], ["v"]), helper.make_node("MatMul", ["x", "v"], ["y"])]
    path = save_model(files["fp32"].with_name("folding.onnx"), nodes, {"w": np.ones((4, 4), np.float32)})
    expected: dict[Optimisation, str] = {"all": "", "none": "the constants do not fold there"}
    for level, refused in expected.items():
        found = screened(
            {"fp32": Subject(files["fp32"]), "folding": Trial(Subject(path), demanding)},
            device=Imitation(use="local"),
            level=level,
        )
        assert found.candidate("folding").refused == refused, level


def test_what_need_not_be_tried_is_not_and_says_why(files: dict[str, Path]) -> None:
    told: list[Mapping[str, Execution]] = []

    def needless(known: Mapping[str, Execution]) -> str:
        told.append(known)
        return "it runs as fp32 does"

    models: dict[str, Subject | Trial] = {"fp32": Subject(files["fp32"])}
    models |= {"same": Trial(Subject(files["nan"]), executed, needless=needless)}
    record = screened(models, device=Imitation(use="local"))
    assert record.candidate("same").refused == "it runs as fp32 does", "and not that it gives NaN"
    assert told[0]["fp32"].operators == {"MatMul": 2}


def test_of_many_those_that_cannot_win_are_not_measured_for_long(files: dict[str, Path]) -> None:
    twins = {f"twin {number}": Subject(files["fp32"]) for number in range(2)}
    wrong = stack(files["fp32"].with_name("wrong.onnx"), 1, seed=7)
    barred = Trial(Subject(files["fp32"]), executed, allowed=False)
    models: dict[str, Subject | Trial] = {"fp32": Subject(files["fp32"]), **twins, "slow": Subject(files["slow"])}
    models |= {"barred": barred, "wrong": Subject(wrong)}
    answers = predict(Local(use="local"), RuntimeSettings(), {"m": files["fp32"]}, FEEDS, Silent())["m"]
    record = screened(models, seconds=12, labels=answers.argmax(axis=1), max_accuracy_drop=0.1)
    wrongs = record.candidate("wrong").against_fp32
    assert wrongs is not None
    assert wrongs.drop > 0.1
    assert set(record.finalists) >= {"fp32", *twins}
    assert not {"slow", "barred", "wrong"} & set(record.finalists)
    # and yet all of them are compared, and have their times
    assert all(record.comparison(one, other) for one, other in itertools.combinations(models, 2))
    assert all(each.p50_s for each in record.candidates)


def test_what_kills_its_process_is_refused(record: ScreeningRecord) -> None:
    deadly = record.candidate("deadly")
    if not deadly.refused:
        pytest.skip("this onnxruntime, or this processor, survives the model")
    assert deadly.refused.startswith("starting deadly killed the measuring process with SIG")


def test_a_refused_fp32_file_ends_the_screening(files: dict[str, Path]) -> None:
    with pytest.raises(StageError, match="fp32: the runtime does not take it"):
        screened({"fp32": Subject(files["unknown"]), "other": Subject(files["fp32"])})


def test_both_parts_keep_to_their_time_and_pairs_are_of_the_same_samples(files: dict[str, Path]) -> None:
    many = 2_000_000
    feeds = {"x": np.zeros((many, 4), np.float32)}
    begun = time.monotonic()
    names = ("fp32", "slow")
    record = screened(
        {name: Subject(files[name]) for name in names}, seconds=1, feeds=feeds, labels=np.zeros(many, np.int64)
    )
    assert time.monotonic() - begun < 20, "all of them would take a minute"
    counted = [each.samples for each in record.candidates]
    assert all(1 <= each < many for each in counted)
    pair = record.candidate("slow").against_fp32
    assert pair is not None
    counts = (pair.both_right, pair.only_reference_right, pair.only_model_right, pair.both_wrong)
    assert sum(counts) == min(counted), "those that both answered"


class Imitation(Local):
    """This machine, as if it were emulated: its times say nothing."""

    emulated: ClassVar[bool] = True


class Counting(Imitation):
    """One on which every inference of the n-th model executes (n + 1) million instructions."""

    @property
    def counts(self) -> str:
        return "by hand"

    @contextmanager
    def count_into(self, marks: Path) -> Iterator[Workspace]:
        with self.connect() as workspace:
            yield CountingWorkspace(Path(workspace.path("x")).parent, marks)


class CountingWorkspace(LocalWorkspace):
    def __init__(self, folder: Path, marks: Path) -> None:
        super().__init__(folder)
        self.marks = marks

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], patience_s: float) -> Ended:
        models = json.loads(Path(argv[-1]).read_text())["models"]
        steps = [(0, (n + 1) * 1_000_000, 0) for n, _ in enumerate(models) for _run in range(RUNS)]
        assert len(steps[0]) == MARKS
        self.marks.write_text("\n".join(map(str, np.cumsum(np.ravel(steps)).tolist())))
        return super().run(argv, on_line, patience_s)


def test_an_emulated_processor_gives_answers_and_no_times(files: dict[str, Path]) -> None:
    models = {name: Subject(files[name]) for name in ("fp32", "slow", "nan")}
    record = screened(models, device=Imitation(use="local"))
    assert record.cost == "none"
    assert record.candidate("slow").accuracy is not None
    assert record.candidate("nan").refused
    assert all(each.p50_s is None for each in record.candidates)
    assert record.comparisons == ()


def test_where_instructions_are_counted_they_are_the_cost(files: dict[str, Path]) -> None:
    models = {name: Subject(files[name]) for name in ("nan", "fp32", "slow")}
    record = screened(models, device=Counting(use="local"))
    assert record.cost == "instructions"
    assert [each.instructions for each in record.candidates] == [None, 1_000_000, 2_000_000]
    assert all(each.p50_s is None for each in record.candidates)
    assert record.comparisons == ()


def test_a_real_emulator_counts_more_for_more_work(files: dict[str, Path]) -> None:
    record = screened({name: Subject(files[name]) for name in ("fp32", "slow")}, device=counting("cortex-a72"))
    fp32, slow = (record.candidate(name).instructions for name in ("fp32", "slow"))
    assert fp32 is not None
    assert slow is not None
    assert 0 < 2 * fp32 < slow


def test_work_that_a_candidate_dies_of_begins_anew_without_it() -> None:
    running = Running({name: Subject(Path(name)) for name in ("fp32", "a", "b")})
    seen: list[list[str]] = []

    def work(subjects: Mapping[str, Subject]) -> str:
        seen.append(list(subjects))
        for name in ("b", "a"):
            if name in subjects:
                raise ModelRefusedError(name, f"{name} dies")
        return "done"

    assert running.together(work) == "done"
    assert seen == [["fp32", "a", "b"], ["fp32", "a"], ["fp32"]]
    assert running.refused == {"b": "b dies", "a": "a dies"}


@pytest.mark.parametrize("model", ["fp32", "a stranger"])
def test_work_that_cannot_do_without_it_fails(model: str) -> None:
    running = Running({"fp32": Subject(Path("fp32"))})

    def work(_subjects: Mapping[str, Subject]) -> str:
        raise ModelRefusedError(model, "no")

    with pytest.raises(ModelRefusedError, match="no"):
        running.together(work)
