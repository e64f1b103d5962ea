"""Which layers of a network a quantization scheme leaves in float."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekd.config.section import Section


class LayerRule(Section):
    """What the layers of some names compute in."""

    match: str = Field(
        min_length=1, description="name of a layer, or of a part of the network with all layers in it; * and ? as usual"
    )
    keep: Literal["float", "int8"] = Field(description="what these layers compute in")
