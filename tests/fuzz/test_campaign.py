"""Each area a bounded number of times; `benchmarks/fuzz.py` does many more."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from edgekd.errors import EdgekdError
from edgekd.pipeline.store import Store
from edgekd.report.runs import load_run
from tests.command import REPOSITORY
from tests.fuzz.areas import AREAS
from tests.fuzz.campaign import run_area
from tests.fuzz.own_code import Case, try_case
from tests.fuzz.place import Area, Place


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name)
@pytest.mark.filterwarnings("ignore")
def test_damage_is_a_line_or_harmless(area: Area, tmp_path: Path, record_property: object) -> None:
    tally = run_area(area, tmp_path / "fuzz", area.tried, first_seed=0)
    assert sum(tally.outcomes.values()) >= min(area.tried, 20)
    assert callable(record_property)
    record_property("outcomes", dict(tally.outcomes))


@pytest.mark.parametrize("value", ["", [1], 3])
def test_a_record_of_a_run_whose_parts_are_of_another_kind_is_a_line(value: object, tmp_path: Path) -> None:
    content = json.loads((REPOSITORY / "tests/golden/schema1/run.json").read_text())
    for key in content:
        (tmp_path / "run.json").write_text(json.dumps({**content, key: value}))
        with contextlib.suppress(EdgekdError):
            load_run(tmp_path / "run.json")


def test_an_endless_file_in_the_store_is_damage(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (store.records_folder / "made").mkdir()
    (store.records_folder / "made" / "x.json").symlink_to("/dev/zero")
    assert store.record("made", "x") is None


def test_a_network_that_leaves_the_folder_in_a_training_leaves_nothing_changed(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    place = Place(tmp_path / "place", tmp_path)
    place.clear()
    try_case(Case("forward", "call", "os.chdir('..')", "", "Own", "Own", after=0), "train@teacher", place)
    place.check()
