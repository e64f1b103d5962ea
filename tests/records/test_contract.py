from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgekd.records.contract import InputSpec, ModelContract

SPEC: dict[str, Any] = {"name": "features", "shape": [30], "preprocessing": {"mean": [0.5], "std": [2.0]}}


def test_a_contract_goes_through_json_unchanged() -> None:
    contract = ModelContract(modality="vector", inputs=(InputSpec.model_validate(SPEC),), classes=("a", "b"))
    assert ModelContract.model_validate_json(contract.model_dump_json()) == contract
    assert contract.shape == (30,)


@pytest.mark.parametrize(
    "changes", [{"shape": []}, {"shape": [0]}, {"name": ""}, {"dtype": "int8"}, {"preprocessing": 3}, {"kind": "image"}]
)
def test_an_input_that_no_model_could_take_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        InputSpec.model_validate({**SPEC, **changes})


def test_one_class_is_nothing_to_tell_apart() -> None:
    with pytest.raises(ValidationError):
        ModelContract(modality="vector", inputs=(InputSpec.model_validate(SPEC),), classes=("a",))
