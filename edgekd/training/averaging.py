"""The mean of the weights over the last steps, which is often better than the weights of the last step."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgekd.training.replicas import batch_norm_statistics


class Average(AveragedModel):
    """An exponential moving average of a network's weights and batch-norm statistics: `module` has them.

    `update_parameters(network)` after every step counts its weights in. The decay is min(decay, (1 + n) / (10 + n))
    after n steps, so that a short training forgets its random weights too. Other buffers, which may be counters or
    masks, are those of the last step. A checkpoint keeps `state_dict`.

    Source: Polyak and Juditsky 1992; the gradual decay is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, multi_avg_fn=self._blend)
        self.decay = decay

    def update_parameters(self, model: nn.Module) -> None:
        begun = int(self.n_averaged) > 0
        means = [each.clone() for each in batch_norm_statistics(self.module)]
        keep = self._decay()
        super().update_parameters(model)  # it copies all buffers
        if begun:
            for mean, latest in zip(means, batch_norm_statistics(self.module), strict=True):
                latest.lerp_(mean, keep)

    def give(self, network: nn.Module) -> None:
        """Leaves the mean in the network itself."""
        network.load_state_dict(self.module.state_dict())

    def _decay(self) -> float:
        count = int(self.n_averaged)  # on the CPU, so to look at it waits for no accelerator
        return min(self.decay, (1 + count) / (10 + count))

    def _blend(self, means: Sequence[Tensor], latest: Sequence[Tensor], count: Tensor | int) -> None:
        blend = get_ema_multi_avg_fn(self._decay())  # type: ignore[no-untyped-call]
        blend(list(means), list(latest), count)
