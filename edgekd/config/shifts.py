"""Other conditions than those of the data: how well does the accuracy hold there?"""

from __future__ import annotations

from pydantic import Field

from edgekd.config.section import Section


class ShiftOptions(Section):
    """Changes to the test samples, each by itself; vectors take `noise` alone."""

    rotate: float | None = Field(
        None, gt=0, le=180, description="degrees by which each image is turned, to one side or the other"
    )
    noise: float | None = Field(
        None,
        gt=0,
        le=10,
        description="Gaussian noise: of an image its standard deviation as a share of white, of a vector in standard "
        "deviations of each feature",
    )
    blur: float | None = Field(None, gt=0, le=100, description="standard deviation of a Gaussian blur, in pixels")
    contrast: float | None = Field(
        None, ge=0, lt=1, description="share that is left of each pixel's distance from the mean of its image"
    )

    def given(self) -> dict[str, float]:
        """The changes that are asked for."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
