"""A network's units, found by following one pass through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx, nn

from edgekd.errors import ConfigError
from edgekd.training.initialisers.rules import FUNCTIONS, KEEPING, LAYERS, MIXING
from edgekd.training.initialisers.units import Dim, Followed, Reading, Value
from edgekd.training.taps import undisturbed


def follow(network: nn.Module, inputs: Sequence[Tensor]) -> Followed:
    """The units of a network that takes such inputs.

    Raises:
        ConfigError: its pass cannot be followed (torch.fx).
    """
    try:
        with undisturbed(network):
            graph = fx.Tracer().trace(network)
            running = _Pass(fx.GraphModule(network, graph))
            running.run(*inputs)
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(
            f"the layers of a {type(network).__name__} cannot be followed: {reason}",
            hint="its forward pass must be the same for every input, without `if` on tensors; or leave out `start`",
        ) from error
    followed, saved = running.reading.followed, network.state_dict()
    for name, dims in followed.dims.items():
        if name not in saved:  # it is fixed, and not among what is taken
            for dim in dims:
                followed.units.make_whole(dim)
    return followed


class _Pass(fx.Interpreter):
    """Runs the network and keeps of every tensor what its dimensions mean."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.reading = Reading()

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "output":
            for each in n.all_input_nodes:
                for dim in self._dims(each):
                    self.reading.units.make_whole(dim)
        elif isinstance(result, Tensor):
            self.reading.values[n] = self._value(n, tuple(result.shape))
        return result

    def _value(self, node: fx.Node, shape: tuple[int, ...]) -> Value:
        if node.op == "get_attr":
            return Value(shape, (), weight=str(node.target))
        if node.op == "call_module":
            layer = self.submodules[str(node.target)]
            rule = next((each for kinds, each in LAYERS.items() if isinstance(layer, kinds)), None)
            if rule is not None and self._inputs(node):
                return rule(self.reading, layer, str(node.target), self._inputs(node)[0], shape)
            if type(layer).__module__ in KEEPING and not isinstance(layer, MIXING):
                return self.reading.aligned(self._inputs(node), shape)
        elif node.op in ("call_function", "call_method"):
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
            known = FUNCTIONS.get(name)
            if known is not None and self._inputs(node):
                return known(self.reading, node, self._inputs(node), shape)
        return self.reading.unknown(shape)

    def _inputs(self, node: fx.Node) -> list[Value]:
        return [self.reading.values[each] for each in node.all_input_nodes if each in self.reading.values]

    def _dims(self, node: fx.Node) -> tuple[Dim, ...]:
        return self.reading.values[node].dims if node in self.reading.values else ()
