"""What was observed is kept, and says the same when it is analysed again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekd.config.target import Measuring
from edgekd.devices.local import Local
from edgekd.errors import ConfigError
from edgekd.harness.driver import measure
from edgekd.harness.observations import Observations, load_observations, save_observations
from edgekd.harness.protocol import Overhead
from edgekd.harness.reanalyse import reanalyse
from edgekd.harness.sets import Seen
from edgekd.harness.subject import Subject, SubjectFacts
from edgekd.harness.summary import summarise
from edgekd.progress import Silent
from edgekd.records.arrays import load_arrays, save_arrays
from edgekd.records.latency import LatencyRecord
from edgekd.records.runtime import RuntimeSettings
from tests.harness.test_environment import MACHINE, STATE
from tests.harness.test_samples import process_of
from tests.harness.test_settings import made

PAIRS = [("small", "big"), ("twin", "small"), ("twin", "big")]


@pytest.fixture(scope="module")
def measured(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[LatencyRecord, Path]:
    """Three models in three pairs, one of them with session options of its own."""
    path = tmp_path_factory.mktemp("observed") / "samples.npz"
    subjects = {
        "small": Subject(models["small"], session={"session.disable_prepacking": "1"}),
        "twin": Subject(models["small"]),
        "big": Subject(models["big"]),
    }
    record = measure(
        Local(use="local"), RuntimeSettings(), Measuring(seconds=5), subjects, PAIRS, 7, Silent(), samples=path
    )
    return record, path


def test_every_pair_that_is_asked_for_is_compared(measured: tuple[LatencyRecord, Path]) -> None:
    record, _ = measured
    assert [(each.model, each.baseline) for each in record.comparisons] == PAIRS
    by_hand = record.comparison("small", "big").ratio * record.comparison("twin", "small").ratio
    assert record.comparison("twin", "big").ratio == pytest.approx(by_hand, rel=0.2)


def test_the_same_analysis_of_the_same_observations_is_the_same_record(measured: tuple[LatencyRecord, Path]) -> None:
    record, path = measured
    assert reanalyse(path) == record
    assert reanalyse(path).model_dump_json() == record.model_dump_json()


def test_what_was_observed_survives_another_round(measured: tuple[LatencyRecord, Path], tmp_path: Path) -> None:
    _, path = measured
    save_observations(tmp_path / "again.npz", load_observations(path))
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_the_session_options_of_the_first_model_are_what_was_observed(measured: tuple[LatencyRecord, Path]) -> None:
    settings = measured[0].environment.settings
    assert settings is not None
    assert settings.options == {"session.disable_prepacking": "1"}


def observed() -> Observations:
    """Two models in two processes, without a device."""
    facts = {name: SubjectFacts(sha256=name * 64, size_bytes=10) for name in "ab"}
    overhead = Overhead(event="overhead", inside_ns=100.0, between_ns=50.0)
    seen = Seen(states=[(STATE, STATE)], overheads=[overhead], machine=MACHINE, settings=made())
    found = Observations(facts, (("b", "a"),), Measuring(), 3, seen=seen, level=0.01, looks=2, seconds=1.5)
    found.add(process_of([[1e6, 2e6]], 0))
    found.add(process_of([[1e6, 2e6], [1e6, 2e6]], 1))
    return found


def test_the_file_holds_all_samples_with_their_blocks_and_loads(tmp_path: Path) -> None:
    save_observations(tmp_path / "raw.npz", observed())
    raw = load_arrays(tmp_path / "raw.npz")
    assert raw["blocks"].shape == (60, 7)
    assert raw["blocks"][:, 0].tolist() == [0] * 20 + [1] * 40
    assert len(raw["samples"]) == raw["blocks"][:, 6].sum()
    assert raw["loads"].shape == (6, 5)
    assert raw["inferences"].tolist() == [[50, 50], [100, 100]]
    assert raw["models"].tolist() == ["a", "b"]
    notes = json.loads(raw["notes"].tobytes())
    assert (notes["schema"], notes["pairs"], notes["seed"]) == (1, [["b", "a"]], 3)


def test_sets_are_numbered_on_from_process_to_process(tmp_path: Path) -> None:
    save_observations(tmp_path / "raw.npz", observed())
    found = load_observations(tmp_path / "raw.npz")
    assert [load.set for load in found.loads] == [0, 0, 1, 1, 2, 2]
    assert found.sets == 3
    assert found.seconds == 1.5


def test_a_summary_changes_nothing_and_asks_no_clock() -> None:
    found = observed()
    once = summarise(found)
    assert summarise(found) == once
    assert (once.seconds, once.looks, once.level) == (1.5, 2, 0.01)
    assert once.comparison("b", "a").ratio == pytest.approx(2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"notes": None}, "holds samples only"),
        ({"notes": np.frombuffer(b"{}", np.uint8)}, "is not what `--samples` or a run writes"),
        ({"inferences": None}, "is not what `--samples` or a run writes"),
        ({"blocks": np.zeros((3, 2), np.int64)}, "is not what `--samples` or a run writes"),
        ({"samples": np.zeros(3, np.int64)}, "is damaged"),
    ],
)
def test_a_file_that_cannot_be_analysed_says_so(
    change: dict[str, np.ndarray | None], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "raw.npz"
    save_observations(path, observed())
    arrays = {**load_arrays(path), **change}
    save_arrays(path, {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ConfigError, match=says):
        reanalyse(path)


def test_what_is_no_such_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "raw.npz").write_text("no archive")
    with pytest.raises(ConfigError, match="cannot be read"):
        reanalyse(tmp_path / "raw.npz")
    with pytest.raises(ConfigError, match="cannot be read: .*No such file"):
        reanalyse(tmp_path / "nowhere.npz")
