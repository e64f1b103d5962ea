"""What every kind of input must do, those of the registry and one that a user would add."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgekd.config.export import ExportOptions
from edgekd.config.registry import MODALITIES
from edgekd.config.training import AugmentOptions
from edgekd.data.modalities.base import (
    contract_for,
    cpp_header,
    feeds_for,
    modality,
    shipped_contract,
    source_of,
    specs_of,
)
from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract

GENERATOR = np.random.default_rng(0)
SAMPLES: dict[str, NDArray[Any]] = {
    "image": GENERATOR.integers(0, 256, (40, 5, 4, 3), dtype=np.uint8),
    "vector": GENERATOR.normal(3, 2, (40, 6)).astype(np.float32),
    "sound": GENERATOR.integers(-3000, 3000, (40, 2000), dtype=np.int16),
    "text": np.array([f"Text {number}, a naïve one of two words".encode() for number in range(40)]),
}
AUGMENTS = {
    "image": AugmentOptions(shift=1),
    "vector": AugmentOptions(noise=0.1),
    "sound": AugmentOptions(gain=6, noise=0.1),
    "text": AugmentOptions(mask=0.5),
}
WITHOUT_CPP = {"sound", "text"}

TONES = r'''
"""Sounds of one tone each: samples float32 (N,), in Hz."""

import numpy as np

KEY = "tones"
NOUN = "tones"
RAW = False
LABELS_HOLD = True
LIMITS = ("Nothing is known of noise.",)

def accepted(samples):
    tones = np.asarray(samples, np.float32)
    if tones.ndim != 1 or len(tones) == 0:
        raise ValueError(f"{tones.shape} is not an array of tones\ngive (N,)")
    return tones

def specify(samples, reading={}):
    return [{"name": "tone", "shape": [2], "preprocessing": {"highest": float(accepted(samples).max())}}]

def feed(samples, specs):
    share = samples / specs[0]["preprocessing"]["highest"]
    return {specs[0]["name"]: np.stack([share, share**2], axis=1).astype(np.float32)}

def read(path, specs):
    return accepted(np.loadtxt(path, ndmin=1))

def augmentation(options, specs):
    return None

def numbers(specs):
    return 0

def alternating(options):
    return ()

def facts(specs):
    return [("input", "a tone")]

def cpp_constants(specs):
    return []
'''


@pytest.fixture
def tones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind of input of one file and one line in the registry."""
    (tmp_path / "tones_of_a_test.py").write_text(TONES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(MODALITIES.members, "tone", "tones_of_a_test")
    importlib.invalidate_caches()
    return "tone"


def test_there_is_a_sample_of_every_kind_in_the_registry() -> None:
    assert set(SAMPLES) == set(AUGMENTS) == set(MODALITIES.members)


@pytest.mark.parametrize("name", MODALITIES.members)
def test_the_contract_describes_what_is_fed(name: str) -> None:
    samples = modality(name).accepted(SAMPLES[name])
    contract = contract_for(name, samples, ("a", "b"))
    feeds = feeds_for(contract, samples)
    assert list(feeds) == [each.name for each in contract.inputs]
    for spec in contract.inputs:
        assert feeds[spec.name].dtype == spec.dtype
        assert spec.dtype in ("float32", "int32")
        assert feeds[spec.name].shape == (len(samples), *spec.shape)
        assert np.isfinite(feeds[spec.name]).all()


@pytest.mark.parametrize("name", MODALITIES.members)
def test_a_file_is_fed_raw_samples_where_it_can_take_them_and_floats_elsewhere(name: str) -> None:
    samples = modality(name).accepted(SAMPLES[name])
    contract = contract_for(name, samples, ("a", "b"))
    shipped = shipped_contract(contract, ExportOptions(output="label"))
    assert shipped.raw == modality(name).RAW
    assert shipped.label == "label"
    assert shipped_contract(contract, ExportOptions(input="float")) == contract
    feeds = feeds_for(shipped, samples)
    for spec in shipped.inputs:
        assert feeds[spec.name].dtype == spec.dtype
        assert feeds[spec.name].shape == (len(samples), *spec.shape)
        assert np.shares_memory(feeds[spec.name], samples) == shipped.raw  # nothing is copied
    specs = specs_of(shipped)
    assert modality(name).facts(specs)
    if cpp_header(name) is not None:
        assert modality(name).cpp_constants(specs)


@pytest.mark.parametrize("name", MODALITIES.members)
def test_samples_for_a_file_that_takes_them_raw_are_read_the_same(name: str, tmp_path: Path) -> None:
    contract = contract_for(name, SAMPLES[name], ("a", "b"))
    np.save(tmp_path / "samples.npy", SAMPLES[name])
    specs = specs_of(shipped_contract(contract, ExportOptions()))
    np.testing.assert_array_equal(modality(name).read(tmp_path / "samples.npy", specs), SAMPLES[name])


@pytest.mark.parametrize("name", MODALITIES.members)
def test_the_contract_survives_being_written_and_read(name: str) -> None:
    contract = contract_for(name, SAMPLES[name], ("a", "b"))
    again = ModelContract.model_validate_json(contract.model_dump_json())
    assert again == contract
    fed, fed_again = feeds_for(contract, SAMPLES[name]), feeds_for(again, SAMPLES[name])
    for each in fed:
        np.testing.assert_array_equal(fed[each], fed_again[each])


@pytest.mark.parametrize("name", MODALITIES.members)
def test_a_sample_is_fed_the_same_alone_and_among_others(name: str) -> None:
    contract = contract_for(name, SAMPLES[name], ("a", "b"))
    together = feeds_for(contract, SAMPLES[name])
    for row in range(3):
        for each, alone in feeds_for(contract, SAMPLES[name][row : row + 1]).items():
            np.testing.assert_array_equal(alone[0], together[each][row])


@pytest.mark.parametrize("name", MODALITIES.members)
def test_what_is_accepted_stays_as_it_is(name: str) -> None:
    once = modality(name).accepted(SAMPLES[name])
    again = modality(name).accepted(once)
    np.testing.assert_array_equal(once, again)
    assert once.dtype == again.dtype
    np.testing.assert_array_equal(once, SAMPLES[name])


@pytest.mark.parametrize("name", MODALITIES.members)
def test_samples_saved_as_an_array_are_read_as_they_were(name: str, tmp_path: Path) -> None:
    specs = specs_of(contract_for(name, SAMPLES[name], ("a", "b")))
    np.save(tmp_path / "samples.npy", SAMPLES[name])
    found = modality(name).read(tmp_path / "samples.npy", specs)
    np.testing.assert_array_equal(found, SAMPLES[name])
    assert found.dtype == SAMPLES[name].dtype


@pytest.mark.parametrize("name", MODALITIES.members)
def test_a_file_that_is_not_there_is_told_with_its_path(name: str, tmp_path: Path) -> None:
    specs = specs_of(contract_for(name, SAMPLES[name], ("a", "b")))
    with pytest.raises(OSError, match=r"cannot read .*gone\.npy: No such file"):
        modality(name).read(tmp_path / "gone.npy", specs)


@pytest.mark.parametrize("name", MODALITIES.members)
def test_nonsense_is_refused_with_a_reason_and_a_way_out(name: str) -> None:
    for nonsense in (None, "text", np.zeros((2, 2, 2, 2, 2)), np.zeros((0, 4))):
        with pytest.raises(ValueError, match=r"is not an array of .*\n."):
            modality(name).accepted(nonsense)


@pytest.mark.parametrize("name", MODALITIES.members)
def test_an_augmented_view_keeps_names_shapes_and_the_inputs_themselves(name: str) -> None:
    contract = contract_for(name, SAMPLES[name], ("a", "b"))
    kind, specs = modality(name), specs_of(contract)
    assert kind.augmentation(AugmentOptions(), specs) is None
    augment = kind.augmentation(AUGMENTS[name], specs)
    assert augment is not None
    inputs = {each: torch.from_numpy(fed) for each, fed in feeds_for(contract, SAMPLES[name]).items()}
    before = {each: fed.clone() for each, fed in inputs.items()}
    numbers = np.random.default_rng(0).random((40, kind.numbers(specs)))
    once, again = augment(inputs, numbers), augment(inputs, numbers)
    for each, fed in before.items():
        assert torch.equal(inputs[each], fed)
        assert once[each].shape == fed.shape
        assert once[each].dtype == fed.dtype
        assert torch.equal(once[each], again[each])
        assert not torch.equal(once[each], fed)


@pytest.mark.parametrize("name", MODALITIES.members)
def test_an_option_without_use_is_refused_by_name(name: str) -> None:
    specs = specs_of(contract_for(name, SAMPLES[name], ("a", "b")))
    every: dict[str, object] = {"shift": 1, "rotate": 1, "scale": 0.1, "shear": 1, "resize": (0.5, 1), "crop": 1}
    every |= {"flip": True, "noise": 0.1, "erase": 1, "mask": 0.1, "replace": 0.1, "span": 0.1}
    every |= {"gain": 6, "delay": 0.01, "hide_time": 0.1, "hide_pitch": 0.1}
    assert {*every, "mixup", "cutmix"} == set(AugmentOptions.model_fields)
    refused = {
        option: reason
        for option, value in every.items()
        if (reason := _refusal(name, AugmentOptions.model_validate({option: value}), specs)) is not None
    }
    assert refused
    assert set(refused) < set(every)
    for option, reason in refused.items():
        assert f"have no use for {option!r}" in reason


@pytest.mark.parametrize("name", MODALITIES.members)
def test_mixing_is_for_every_kind_of_input_and_not_done_to_one_sample(name: str) -> None:
    specs = specs_of(contract_for(name, SAMPLES[name], ("a", "b")))
    assert modality(name).augmentation(AugmentOptions(mixup=0.2, cutmix=1), specs) is None


@pytest.mark.parametrize("name", MODALITIES.members)
def test_what_alternates_is_among_the_numbers(name: str) -> None:
    kind = modality(name)
    specs = specs_of(contract_for(name, SAMPLES[name], ("a", "b")))
    assert list(kind.alternating(AugmentOptions())) == []
    assert set(kind.alternating(AugmentOptions(flip="alternating"))) <= set(range(kind.numbers(specs)))


def _refusal(name: str, options: AugmentOptions, specs: list[dict[str, Any]]) -> str | None:
    try:
        modality(name).augmentation(options, specs)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", MODALITIES.members)
def test_the_file_runs_by_itself_and_needs_numpy_alone(name: str, tmp_path: Path) -> None:
    """As it does on a device, where it is `inputs.py`."""
    specs = specs_of(contract_for(name, SAMPLES[name], ("a", "b")))
    (tmp_path / "inputs.py").write_bytes(source_of(name).read_bytes())
    np.save(tmp_path / "samples.npy", SAMPLES[name][:2])
    (tmp_path / "main.py").write_text(
        f"import sys, pathlib\nimport inputs\nspecs = {specs!r}\n"
        "fed = inputs.feed(inputs.read(pathlib.Path('samples.npy'), specs), specs)\n"
        "print(fed[specs[0]['name']].tobytes().hex())\n"
        "foreign = {'edgekd', 'torch', 'PIL', 'scipy', 'onnxruntime'} & {m.split('.')[0] for m in sys.modules}\n"
        "assert not foreign, foreign\n"
    )
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    contract = contract_for(name, SAMPLES[name], ("a", "b"))
    assert done.stdout.strip() == feeds_for(contract, SAMPLES[name][:2])[specs[0]["name"]].tobytes().hex()


@pytest.mark.parametrize("name", MODALITIES.members)
def test_card_and_header_have_what_they_need(name: str) -> None:
    kind = modality(name)
    specs = specs_of(contract_for(name, SAMPLES[name], ("a", "b")))
    assert [heading for heading, _ in kind.facts(specs)][:2] == ["input", "preprocessing"]
    assert all(limit.endswith(".") for limit in kind.LIMITS)
    assert kind.KEY.isidentifier()
    assert kind.NOUN
    assert all(line.startswith(("constexpr ", "using ")) and line.endswith(";") for line in kind.cpp_constants(specs))
    header = cpp_header(name)
    assert header is not None or name in WITHOUT_CPP
    assert header is None or "read_input(" in header.read_text()


def test_one_file_and_one_line_add_a_kind_of_input(tones: str, tmp_path: Path) -> None:
    contract = contract_for(tones, np.array([100.0, 400.0]), ("low", "high"))
    assert contract.modality == "tone"
    assert contract.shape == (2,)
    assert feeds_for(contract, np.array([200.0], np.float32))["tone"].tolist() == [[0.5, 0.25]]
    (tmp_path / "a.txt").write_text("400\n")
    specs = specs_of(contract)
    assert feeds_for(contract, modality(tones).read(tmp_path / "a.txt", specs))["tone"].tolist() == [[1, 1]]
    assert source_of(tones) == tmp_path / "tones_of_a_test.py"
    assert cpp_header(tones) is None


def test_what_such_a_file_refuses_comes_with_its_hint(tones: str) -> None:
    with pytest.raises(ConfigError, match=r"\(0,\) is not an array of tones") as error:
        contract_for(tones, np.zeros(0), ("low", "high"))
    assert error.value.hint == "give (N,)"


def test_an_unknown_kind_of_input_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown kind of input 'imgae'") as error:
        modality("imgae")
    assert error.value.hint == "did you mean 'image'?"
