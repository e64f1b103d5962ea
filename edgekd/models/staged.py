"""The options that the convolutional networks share: stages of blocks, each stage at half the size."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekd.models.base import Model


class Staged(Model):
    """A network of `stages` stages of `depth` blocks, then global average pooling and one linear layer."""

    width: int = Field(16, ge=1, le=1024, description="channels of the first stage")
    depth: int = Field(1, ge=1, le=64, description="blocks in each stage")
    stages: int = Field(3, ge=1, le=6, description="stages; each further one halves height and width")
    growth: float = Field(2.0, ge=1, le=4, description="channels of a stage relative to the one before")
    stride: int = Field(
        1, ge=1, le=4, description="of the first convolution; 2 makes all that follows about four times cheaper"
    )
    kernel: Literal[3, 5, 7] = Field(
        3,
        description="height and width of the convolutions that see more than one place: 5 and 7 see further without "
        "one more operator",
    )
    aligned: int | None = Field(
        None,
        ge=2,
        le=64,
        description="rounds the channels of each stage to the nearest multiple of this, and up to at least one: the "
        "runtime computes 16 at once with AVX-512 and 8 on other x86 processors; on ARM no multiple is faster",
    )

    def channels(self, stage: int) -> int:
        """Of stage k (from 0): width · growth^k, rounded, and rounded again to a multiple of `aligned`."""
        wanted = round(self.width * self.growth**stage)
        if self.aligned is None:
            return wanted
        return max(1, (wanted + self.aligned // 2) // self.aligned) * self.aligned
