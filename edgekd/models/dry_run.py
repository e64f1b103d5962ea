"""One forward pass to learn whether a network that is not edgekd's own fits the contract."""

from __future__ import annotations

import torch
from torch import nn

from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract


def logits_shape(module: nn.Module, contract: ModelContract) -> tuple[int, ...]:
    """The output's shape for two black images, in eval mode; the module's mode and statistics stay as they are.

    Raises:
        ConfigError: the network fails on such images, or gives something else than one tensor.
    """
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            logits = module(torch.zeros(2, *contract.image.shape))
    except Exception as error:  # whatever the network's own code raises
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"the model fails on images of {contract.image.shape}: {reason}") from error
    finally:
        module.train(training)
    if not isinstance(logits, torch.Tensor):
        raise ConfigError(f"the model gives {type(logits).__name__} instead of one tensor of logits")
    return tuple(logits.shape)
