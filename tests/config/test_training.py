from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgekd.config.training import TrainingOptions


@pytest.mark.parametrize("shards", [0, 257, -1, True, 1.5, "many", None])
def test_a_number_of_shards_that_cannot_be_is_told_once(shards: object) -> None:
    with pytest.raises(ValidationError) as error:
        TrainingOptions.model_validate({"epochs": 1, "shards": shards})
    assert [each["msg"] for each in error.value.errors()] == ["expected auto, or a whole number from 1 to 256"]


@pytest.mark.parametrize("shards", ["auto", 1, 256])
def test_a_number_of_shards_is_taken_as_it_stands(shards: object) -> None:
    assert TrainingOptions.model_validate({"epochs": 1, "shards": shards}).shards == shards
