from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgekd.records.contract import ImageInput, ModelContract

GOOD: dict[str, Any] = {"channels": 3, "height": 4, "width": 5, "mean": [0.5] * 3, "std": [0.2] * 3}


def test_a_contract_comes_back_from_json_as_it_was() -> None:
    contract = ModelContract(inputs=(ImageInput(**GOOD),), classes=("a", "b"))
    assert ModelContract.model_validate_json(contract.model_dump_json()) == contract
    assert contract.image.shape == (3, 4, 5)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [0.5]},
        {"std": [0.2, 0.2, 0.0]},
        {"std": [0.2]},
        {"height": 0},
        {"mean": [float("nan")] * 3},
        {"size": 4},
    ],
)
def test_an_input_that_no_image_fits_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImageInput(**{**GOOD, **change})
