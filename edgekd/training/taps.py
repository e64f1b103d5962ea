"""The layers of any module by name: which there are, and what they give in a forward pass.

A layer can be tapped when it runs once in a pass and gives one tensor: where it runs twice, neither output would be
*the* output, so that is an error and not a choice. `NAME:input` is what the layer NAME reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from edgekd.config.section import nearest
from edgekd.errors import ConfigError
from edgekd.models.names import INPUT
from edgekd.models.text_network import whole_length
from edgekd.training.lesson import Answers

LIST = "`edgekd list layers PIPELINE` names those that can be tapped"


class LayerError(ConfigError):
    """A network has no such layer, or it cannot be tapped."""

    def __init__(self, layer: str, what: str, *, hint: str = LIST) -> None:
        super().__init__(what, hint=hint)
        self.layer = layer


def answers(module: nn.Module, inputs: Sequence[Tensor], taps: Sequence[str] = ()) -> Answers:
    """What the module says in the mode it is in, with the outputs of the layers `taps`, all as float32.

    Raises:
        LayerError: the module has no such layer, or it cannot be tapped.
    """
    with _recorded(module, taps) as outputs, whole_length() if taps else nullcontext():
        logits = module(*inputs).float()
    for name in taps:
        if name not in outputs:
            raise LayerError(name, f"the layer {name!r} takes no part in a forward pass")
    return Answers(logits, outputs)


def layers(module: nn.Module, inputs: Sequence[Tensor]) -> list[tuple[str, tuple[int, ...]]]:
    """The layers that can be tapped, in the order in which they start in a forward pass of `inputs`, and the shape of
    each one's output without the batch; the module is left as it was."""
    started: list[str] = []
    shapes: dict[str, list[tuple[int, ...] | None]] = {}

    def watch(name: str, layer: nn.Module, stack: ExitStack) -> None:
        def starts(_layer: nn.Module, _inputs: object) -> None:
            started.append(name)

        def ends(_layer: nn.Module, _inputs: object, output: object) -> None:
            shapes.setdefault(name, []).append(tuple(output.shape[1:]) if isinstance(output, Tensor) else None)

        stack.enter_context(layer.register_forward_pre_hook(starts))
        stack.enter_context(layer.register_forward_hook(ends))

    with ExitStack() as stack, undisturbed(module):
        for name, layer in _named(module).items():
            watch(name, layer, stack)
        with whole_length():
            module(*inputs)
    once = {name: found[0] for name, found in shapes.items() if len(found) == 1}
    return [(name, shape) for name in started if (shape := once.get(name)) is not None]


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients, and no random numbers that others would miss; afterwards each part is in its own mode
    again."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for each, training in modes:
            each.training = training


@contextmanager
def _recorded(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Fills the dictionary with the outputs of the layers while the module runs."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: object) -> None:
        if name in outputs:
            raise LayerError(name, f"the layer {name!r} runs more than once in a forward pass")
        if not isinstance(output, Tensor):
            raise LayerError(name, f"the layer {name!r} gives {type(output).__name__}, not one tensor")
        outputs[name] = output.to(torch.float32, copy=True)  # a later in-place ReLU would change the original

    def tap(name: str, layer: nn.Module, stack: ExitStack) -> None:
        def reads(_layer: nn.Module, inputs: tuple[object, ...]) -> None:
            keep(name, inputs[0] if inputs else None)

        def gives(_layer: nn.Module, _inputs: object, output: object) -> None:
            keep(name, output)

        before = name.endswith(INPUT)
        stack.enter_context(layer.register_forward_pre_hook(reads) if before else layer.register_forward_hook(gives))

    with ExitStack() as stack:
        if names:
            known = _named(module)
            for name in names:
                layer = name.removesuffix(INPUT)
                if layer not in known:
                    raise LayerError(name, f"no layer is called {layer!r}", hint=f"{nearest(layer, known)} ({LIST})")
                tap(name, known[layer], stack)
        yield outputs


def _named(module: nn.Module) -> dict[str, nn.Module]:
    return {name: each for name, each in module.named_modules() if name}
