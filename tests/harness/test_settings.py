"""Runtime settings: each takes effect in a real session, and is seen to."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.config.target import Measuring
from edgekd.devices.local import Local
from edgekd.errors import StageError
from edgekd.harness.driver import measure
from edgekd.harness.settings import require_settings, spins_idle
from edgekd.progress import Silent
from edgekd.records.environment import Settings
from edgekd.records.runtime import RuntimeSettings


def observed(models: dict[str, Path], **runtime: object) -> Settings:
    settings = RuntimeSettings.model_validate(runtime)
    record = measure(Local(use="local"), settings, Measuring(seconds=0.5), {"m": models["big"]}, (), 0, Silent())
    assert record.environment.settings is not None
    return record.environment.settings


def test_threads_affinity_and_level_of_a_session(models: dict[str, Path]) -> None:
    got = observed(models, threads=2, affinity=[0], optimisation="basic", nice=1, memory_limit_mb=900)
    assert (got.threads, got.affinity, got.worker_affinity) == (2, (0,), (0,))
    assert (got.optimisation, got.nice, got.memory_limit_bytes) == ("basic", 1, 900_000_000)


def test_workers_sleep_when_spinning_is_off(models: dict[str, Path]) -> None:
    got = observed(models, threads=2, spinning=False, options={"session.disable_quant_qdq": "1"})
    assert got.worker_seconds_after_a_run < 0.001
    assert got.options == {"session.disable_quant_qdq": "1"}


def made(**change: object) -> Settings:
    asked = RuntimeSettings()
    same = {name: getattr(asked, name) for name in ("threads", "inter_op_threads", "spinning", "optimisation")}
    rest = {"affinity": (0, 1), "worker_affinity": (), "worker_seconds_after_a_run": 0.0}
    more = {"provider": asked.provider, "nice": 0, "memory_limit_bytes": None, "options": {}}
    return Settings.model_validate({**same, **rest, **more, **change})


def test_a_niceness_that_nothing_asks_for_is_inherited() -> None:
    require_settings(RuntimeSettings(), {}, made(nice=10))


@pytest.mark.parametrize(
    ("asked", "got", "says"),
    [
        ({"threads": 4}, {"threads": 2}, "threads 4 became 2"),
        ({"optimisation": "all"}, {"optimisation": "basic"}, "optimisation all became basic"),
        ({"nice": 5}, {"nice": 0}, "nice 5 became 0"),
        ({"affinity": [1]}, {"affinity": (0, 1)}, r"affinity \(1,\) became \(0, 1\)"),
        ({"affinity": [1]}, {"affinity": (1,), "worker_affinity": (0, 1)}, "affinity of the workers"),
        ({"spinning": False}, {"spinning": True}, "spinning False became True"),
        (
            {"threads": 2, "spinning": False},
            {"threads": 2, "spinning": False, "worker_seconds_after_a_run": 0.004},
            "spinning False became True",
        ),
        ({"options": {"a": "1"}}, {"options": {"a": "0"}}, "options"),
    ],
)
def test_a_setting_without_effect_stops_the_measurement(
    asked: dict[str, object], got: dict[str, object], says: str
) -> None:
    with pytest.raises(StageError, match=says):
        require_settings(RuntimeSettings.model_validate(asked), {}, made(**got))


def test_the_models_own_options_are_part_of_what_was_asked_for() -> None:
    asked = RuntimeSettings(options={"a": "1", "b": "1"})
    require_settings(asked, {"b": "2", "c": "3"}, made(options={"a": "1", "b": "2", "c": "3"}))
    with pytest.raises(StageError, match="options"):
        require_settings(asked, {"b": "2"}, made(options={"a": "1", "b": "1"}))


def test_settings_as_asked_for_pass() -> None:
    require_settings(RuntimeSettings(), {}, made())


def test_only_spinning_workers_keep_models_apart() -> None:
    assert spins_idle(RuntimeSettings(threads=2))
    assert not spins_idle(RuntimeSettings(threads=2, spinning=False))
    assert not spins_idle(RuntimeSettings())
