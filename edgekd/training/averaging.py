"""The mean of the weights over the last steps, which is often better than the weights of the last step."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Average(AveragedModel):
    """An exponential moving average of a network's weights and batch-norm statistics: `module` has them.

    `update_parameters(network)` after every step counts its weights in. The decay is min(decay, (1 + n) / (10 + n))
    after n steps, so that a short training forgets its random weights too. Counters, which have no mean, are those of
    the last step. A checkpoint keeps `state_dict`.

    Source: Polyak and Juditsky 1992; the gradual decay is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, multi_avg_fn=self._blend, use_buffers=True)
        self.decay = decay

    def give(self, network: nn.Module) -> None:
        """Leaves the mean in the network itself."""
        network.load_state_dict(self.module.state_dict())

    def _blend(self, means: Sequence[Tensor], latest: Sequence[Tensor], _count: Tensor | int) -> None:
        if not means[0].is_floating_point():
            for mean, last in zip(means, latest, strict=True):
                mean.copy_(last)
            return
        count = int(self.n_averaged)  # on the CPU: unlike `_count`, to look at it waits for no accelerator
        blend = get_ema_multi_avg_fn(min(self.decay, (1 + count) / (10 + count)))  # type: ignore[no-untyped-call]
        blend(list(means), list(latest), count)
