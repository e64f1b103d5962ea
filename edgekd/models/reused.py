"""A network that ends in another one's classifier, behind a projector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.models.base import Model, drawn_inputs
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn

    from edgekd.models.reuse import Reuse


class Reused(Model):
    """Not for `use:`; what a section with `classifier` has in the place of its model.

    body: the section's own model, whose last layer gives way; lender: the model whose classifier is reused. Both must
    end in an `nn.Linear`. Built of the same seed, the body begins with the weights that it has without reuse.

    Source: Chen et al. 2022, Knowledge Distillation with the Reused Teacher Classifier, section 3.
    """

    body: Model
    lender: Model
    reduction: int

    def build(self, contract: ModelContract) -> nn.Module:
        import torch

        from edgekd.models.reuse import reusing

        network = self.body.build(contract)
        with torch.random.fork_rng(devices=[]):  # its weights are copied from the trained one
            torch.manual_seed(0)  # how it ends is found by running it: whoever builds this again finds the same
            lender = self.lender.build(contract)
        inputs = drawn_inputs(contract, 16, seed=0)
        return reusing(network, lender, inputs, reduction=self.reduction, names=(self.body.use, self.lender.use))

    def lend(self, lender: nn.Module, network: nn.Module) -> Reuse:
        """Gives the fresh network, which was built here, the trained lender's classifier; where it has what."""
        from edgekd.models.reuse import lend

        return lend(lender, network)
