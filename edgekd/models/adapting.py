"""A network from elsewhere brought to what edgekd gives and takes.

It is done by hooks: a module around it would rename its weights, and no checkpoint of it would fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import ConfigError


def normalise(module: nn.Module, scale: Sequence[float], offset: Sequence[float], *, dimensions: int) -> None:
    """Feeds it x · scale + offset, by channel; dimensions: of a sample."""
    form = (1, -1, *[1] * (dimensions - 1))
    # buffers, which move to a device with it, and none of its weights
    module.register_buffer("edgekd_scale", torch.tensor(scale).reshape(form), persistent=False)
    module.register_buffer("edgekd_offset", torch.tensor(offset).reshape(form), persistent=False)
    module.register_forward_pre_hook(_normalised)


def resize(module: nn.Module, size: int) -> None:
    """Feeds it images scaled to this height and width."""

    def resized(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(functional.interpolate(each, (size, size), mode="bilinear") for each in inputs)

    module.register_forward_pre_hook(resized)


def unwrap(module: nn.Module, use: str, classes: int) -> None:
    """Takes the logits out of an answer that is an object with `.logits`, as those of transformers are, and refuses
    what is none, whenever it comes; use: what the user's file calls it."""

    def logits(_module: nn.Module, inputs: tuple[Tensor, ...], answer: object) -> Tensor:
        found = answer if isinstance(answer, Tensor) else getattr(answer, "logits", answer)
        if torch.compiler.is_compiling() and isinstance(found, Tensor):
            return found  # it is exported, and a batch has no number
        return checked_logits(found, use, (len(inputs[0]), classes))

    module.register_forward_hook(logits)


def checked_logits(answer: object, use: str, expected: tuple[int, int]) -> Tensor:
    """
    Raises:
        ConfigError: it is no tensor of this shape.
    """
    if isinstance(answer, Tensor) and tuple(answer.shape) == expected:
        return answer
    found = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
    raise ConfigError(
        f"the model {use} gives {found} for {expected[0]} samples, expected logits of shape {expected}",
        hint="one logit a class, without softmax: a tensor, or of an own model an object with `.logits`",
    )


def _normalised(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    scale, offset = module.get_buffer("edgekd_scale"), module.get_buffer("edgekd_offset")
    return tuple(each * scale + offset for each in inputs)
