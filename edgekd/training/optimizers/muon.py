"""Muon: hidden layers move by orthogonal matrices, everything else by AdamW."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.optimizers.base import Optimizer, decaying, lay_out_gradients, learned

if TYPE_CHECKING:
    import torch
    from torch import nn

    from edgekd.config.training import TrainingOptions


class Muon(Optimizer):
    """Momentum whose every step is made orthogonal in each hidden layer; AdamW for the last layer and the rest.

    The step has the size of an AdamW step, so `learning_rate` and `weight_decay` that suit AdamW are a safe start;
    small networks that train for a few thousand steps gain from two to five times that learning rate.

    Source: Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks
    (https://kellerjordan.github.io/posts/muon/); the size of the step: Liu et al. 2025, Muon is Scalable for LLM
    Training, equation 4.
    """

    momentum: float = Field(
        0.8,
        ge=0,
        lt=1,
        description="share of earlier gradients in the mean that is followed; 0.6 for hundreds of steps, 0.95 for very "
        "long trainings",
    )
    other_learning_rate: float | None = Field(
        None,
        gt=0,
        le=10,
        allow_inf_nan=False,
        description="largest learning rate of all that AdamW learns; by default `learning_rate`",
    )

    def build(
        self, network: nn.Module, objective: nn.Module, options: TrainingOptions, *, classes: int
    ) -> torch.optim.Optimizer:
        from edgekd.training.optimizers.orthogonal import OrthogonalMomentum

        hidden = hidden_weights(network, classes)
        taken = {id(each) for each in hidden}
        others = [each for each in (*learned(network), *learned(objective)) if id(each) not in taken]
        scale = 1.0 if self.other_learning_rate is None else self.other_learning_rate / options.learning_rate
        optimizer = OrthogonalMomentum(
            decaying(hidden, options)[0], decaying(others, options, scale=scale), momentum=self.momentum
        )
        optimizer.register_step_pre_hook(lay_out_gradients)
        return optimizer


def hidden_weights(network: nn.Module, classes: int) -> list[nn.Parameter]:
    """The learned weights of linear layers and convolutions, without the last layer's.

    They are known by the kind of their layer, for names are the user's: biases, gains, tokens and embeddings are no
    matrices that features are multiplied with. The last layer is the last one registered that has an output a class;
    it learns better with AdamW (Jordan et al. 2024). So does an embedding, because its inputs are one-hot; pixels are
    not, and a first layer stays here. A convolution in groups is many small matrices, a depthwise one vectors: AdamW's.
    """
    from torch import nn

    weights = [
        each.weight
        for each in network.modules()
        if isinstance(each, nn.Linear) or (isinstance(each, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and each.groups == 1)
    ]
    last = next((each for each in reversed(weights) if len(each) == classes), None)
    hidden = {id(each): each for each in weights if isinstance(each, nn.Parameter) and each is not last}
    return [each for each in hidden.values() if each.requires_grad]
