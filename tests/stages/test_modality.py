"""A stage runs again when the files that decide its result change, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekd.config.registry import MODALITIES
from edgekd.stages.modality import feeding_identity, training_identity


def _files(identity: Any) -> set[str]:
    return set(identity["code"])


@pytest.mark.parametrize("name", MODALITIES.members)
def test_what_feeds_a_model_depends_on_what_travels_and_on_the_specs_alone(name: str) -> None:
    place = f"data/modalities/{name}"
    assert _files(feeding_identity(name)) == {f"{place}/__init__.py", f"{place}/inputs.py"}


@pytest.mark.parametrize("name", ["image", "sound", "text"])
def test_what_trains_depends_on_how_samples_are_changed_too(name: str) -> None:
    assert f"data/modalities/{name}/augment.py" in _files(training_identity(name)) - _files(feeding_identity(name))


def test_a_kind_of_one_module_is_that_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tones_alone.py").write_text("from edgekd.data.modalities.noise import noise_like\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(MODALITIES.members, "tone", "tones_alone")

    assert _files(feeding_identity("tone")) == {"tones_alone.py"}
    assert _files(training_identity("tone")) >= {"tones_alone.py", "data/modalities/noise.py"}
