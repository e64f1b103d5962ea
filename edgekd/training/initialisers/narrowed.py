"""A student that starts as a narrower or shallower copy of its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract
from edgekd.training.initialisers.base import Initialiser, Taken

if TYPE_CHECKING:
    from torch import Tensor, nn

Keep = Literal["norm", "product", "first", "random"]


class Narrowed(Initialiser):
    """Of each layer of a wider network the units that matter most, of a deeper one every few layers.

    Layers are paired by their place (`pairing.py`), units are followed through the network (`units.py`), and of each
    set of units as many are kept as the student has there (`selection.py`), in their order; they are the same ones
    wherever they are read. What has no counterpart stays fresh. Where a plain stack loses a layer, the next one reads
    units that stand for others; a residual network has the same ones before and after a block. Going the other way,
    from a small network to a larger one, is Net2Net (Chen et al. 2016): not this.

    Source: Li et al. 2017, Pruning Filters for Efficient ConvNets, section 3.1 (`norm`; theirs is the L1 norm, of one
    layer); Sanh et al. 2019, DistilBERT, section 3 (every other layer).
    """

    keep: Keep = Field(
        "norm",
        description="which units: those of the largest incoming weights (norm), of the largest incoming times outgoing "
        "weights (product), the first ones, or random ones",
    )

    def fill(
        self,
        student: nn.Module,
        teacher: nn.Module,
        inputs: Sequence[Tensor],
        seed: int,
        contract: ModelContract,  # noqa: ARG002 - what matters of the inputs, the networks show
    ) -> Taken:
        from edgekd.training.initialisers.following import follow
        from edgekd.training.initialisers.narrowing import narrow
        from edgekd.training.initialisers.selection import CHOICES

        mine, theirs = follow(student, inputs), follow(teacher, inputs)
        taken = narrow(student, mine, teacher, theirs, CHOICES[self.keep](teacher, theirs, seed))
        if len(taken.fresh) == taken.tensors:
            raise ConfigError(
                f"no weights of {self.network} fit: a network of {_architecture(student)} cannot start from one of "
                f"{_architecture(teacher)}",
                hint="take the same architecture with a smaller width or depth, or leave out `start`",
            )
        return taken


def _architecture(network: nn.Module) -> str:
    """Its kinds of layers."""
    kinds = dict.fromkeys(type(each).__name__ for each in network.modules())
    return ", ".join(kinds)
