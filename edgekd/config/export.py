"""The options of the export stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgekd.config.section import Section


class ExportOptions(Section):
    opset: int = Field(
        18,
        ge=18,
        le=23,
        description="ONNX operator set; a higher one needs a newer ONNX Runtime on the device "
        "(18: 1.15, 20: 1.17, 21: 1.18, 22: 1.21, 23: 1.23)",
    )
    input: Literal["raw", "float"] = Field(
        "raw",
        description="what the files that could ship take: pixels as they are, normalised in the file, or normalised "
        "floats; rows of numbers are always floats",
    )
    output: Literal["logits", "label"] = Field(
        "logits", description="what they give: one number a class, or beside these the number of the class (`label`)"
    )
    batch: Literal["dynamic"] | Annotated[int, Field(ge=1)] = Field(
        "dynamic", description="samples in one call: any number (dynamic), or exactly this many"
    )
