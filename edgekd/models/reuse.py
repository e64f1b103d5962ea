"""How a network gets the classifier of another one: where it ends, the projector before it, and what is frozen."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.models.names import INPUT


@dataclass(frozen=True)
class Ending:
    """How a network ends. classifier: the name of its last linear layer; pool: of the layer that makes of maps
    (C, H, W), larger than 1 x 1, the vector (C,) that the classifier reads, where there is one.

    maps: the shape of those maps; size: the length of the vector; mean: whether the vector is the maps' mean over
    space; rectified: whether what is compared, `features`, comes out of a ReLU: never negative, and 0 in places.
    """

    classifier: str
    size: int
    pool: str | None
    maps: tuple[int, ...]
    mean: bool
    rectified: bool

    @property
    def features(self) -> str:
        """The tap of what a student's features are compared with: the maps, if their mean is all that counts, else
        what the classifier reads."""
        return f"{self.pool if self.mean else self.classifier}{INPUT}"


class Projector(nn.Sequential):
    """From a network's own features to those that the reused classifier was trained on.

    Of maps: 1 x 1, 3 x 3 and 1 x 1 convolutions with batch norm and ReLU, the inner ones `reduction` times narrower
    than the features; maps that are a multiple of the others in size are averaged to it before. Of vectors: a linear
    layer. A last ReLU only where the others' features come out of one, as the paper's do.

    `reuse`: the names of what it stands between.

    Source: Chen et al. 2022, Knowledge Distillation with the Reused Teacher Classifier, section 3; where batch norm and
    ReLU stand, and the sizes of maps, as in the authors' code (DefangChen/SimKD, models/util.py).
    """

    def __init__(self, mine: Ending, theirs: Ending, reduction: int, reuse: Reuse) -> None:
        layers: list[nn.Module] = []
        if mine.maps:
            (height, width), (down, right) = mine.maps[1:], theirs.maps[1:] if theirs.mean else mine.maps[1:]
            if (height, width) != (down, right) and height % down == width % right == 0:
                layers.append(nn.AvgPool2d((height // down, width // right)))
            inner = max(1, theirs.size // reduction)
            layers += [
                *(nn.Conv2d(mine.size, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU()),
                *(nn.Conv2d(inner, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner), nn.ReLU()),
                *(nn.Conv2d(inner, theirs.size, 1, bias=False), nn.BatchNorm2d(theirs.size)),
            ]
        else:
            layers.append(nn.Linear(mine.size, theirs.size))
        if theirs.rectified:
            layers.append(nn.ReLU())
        super().__init__(*layers)
        self.reuse = reuse


@dataclass(frozen=True)
class Reuse:
    """Names of layers. projector, classifier: of the student; lent: the lender's classifier; features: the tap of the
    lender that the projector's output is to become."""

    projector: str
    classifier: str
    lent: str
    features: str


def reusing(
    network: nn.Module, lender: nn.Module, inputs: Sequence[Tensor], *, reduction: int, names: tuple[str, str]
) -> nn.Module:
    """The network, changed to end in a frozen copy of the lender's classifier; inputs: a batch of random ones,
    such as both take. The names of all layers before the projector stay.

    Raises:
        ConfigError: one of the two, which are called `names`, does not end in a linear layer.
    """
    mine, theirs = ending(network, inputs, names[0]), ending(lender, inputs, names[1])
    classifier = copy.deepcopy(lender.get_submodule(theirs.classifier)).requires_grad_(False)
    place = mine.pool or mine.classifier
    within = "" if mine.pool else ".classifier"
    reuse = Reuse(f"{place}.projector", f"{mine.classifier}{within}", theirs.classifier, theirs.features)
    parts: OrderedDict[str, nn.Module] = OrderedDict(projector=Projector(mine, theirs, reduction, reuse))
    if mine.pool:
        _replace(network, mine.classifier, classifier)
        parts["pool"] = nn.AdaptiveAvgPool2d(1)
    else:
        parts["classifier"] = classifier
    _replace(network, place, nn.Sequential(parts))
    return network


def lend(lender: nn.Module, network: nn.Module) -> Reuse:
    """Copies the trained lender's classifier into a network that `reusing` made; where that one has what."""
    reuse = next(each.reuse for each in network.modules() if isinstance(each, Projector))
    network.get_submodule(reuse.classifier).load_state_dict(lender.get_submodule(reuse.lent).state_dict())
    return reuse


def ending(network: nn.Module, inputs: Sequence[Tensor], name: str) -> Ending:
    """How a fresh network ends, found by one pass of a batch of random ones; the network stays as it is.

    Raises:
        ConfigError: it does not end in a linear layer.
    """
    with _watched(network) as calls:
        logits = network(*inputs)
    once = [each for each in calls if sum(other.layer is each.layer for other in calls) == 1]
    linear = [each for each in once if isinstance(each.layer, nn.Linear) and each.read.ndim == 2]
    last = next((each for each in reversed(linear) if torch.equal(each.output, logits)), None)
    if last is None:
        raise ConfigError(
            f"the last layer of the model {name} is no nn.Linear that runs once, on one vector a sample: with such a "
            "one there is no classifier to reuse or to replace",
            hint="take another model, or leave out `classifier`",
        )
    read = last.read
    pool = next((each for each in once if _pools(each, read)), None)
    mean = pool is not None and _same(pool.read.mean(dim=(2, 3)), read)
    features = pool.read if pool is not None and mean else read
    return Ending(
        classifier=last.name,
        size=read.shape[1],
        pool=None if pool is None else pool.name,
        maps=() if pool is None else tuple(pool.read.shape[1:]),
        mean=mean,
        rectified=float(features.min()) == 0,
    )


@dataclass(frozen=True)
class _Call:
    name: str
    layer: nn.Module
    read: Tensor
    output: Tensor


def _pools(call: _Call, vector: Tensor) -> bool:
    """Whether the call made, of maps larger than 1 x 1, their means or largest values, and these are the vector."""
    maps, made = call.read, call.output
    if maps.ndim != 4 or maps[0, 0].numel() == 1 or made.shape != (*vector.shape, 1, 1):
        return False
    pooled = maps.shape[:2] == vector.shape and (
        _same(maps.mean(dim=(2, 3)), vector) or _same(maps.amax((2, 3)), vector)
    )
    return pooled and _same(made.flatten(1), vector)


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-3, atol=1e-5)


@contextmanager
def _watched(network: nn.Module) -> Iterator[list[_Call]]:
    """Fills the list with the calls of linear layers and of those that make 1 x 1 of maps, in the order in which they
    end; in eval mode and without gradients."""
    calls: list[_Call] = []

    def watch(name: str, layer: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def keep(_layer: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or not isinstance(output, Tensor):
                return
            if isinstance(layer, nn.Linear) or (output.ndim == 4 and output.shape[2:] == (1, 1)):
                # copies: a later in-place ReLU would change the originals
                calls.append(_Call(name, layer, inputs[0].clone(), output.clone()))

        return layer.register_forward_hook(keep)

    modes = [(each, each.training) for each in network.modules()]
    network.eval()
    with ExitStack() as stack:
        for name, layer in network.named_modules():
            if name:
                stack.callback(watch(name, layer).remove)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                yield calls
        finally:
            for each, training in modes:
                each.training = training


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, layer)
