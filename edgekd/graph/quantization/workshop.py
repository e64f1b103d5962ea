"""Files of 8 bits by recipe: which steps beyond plain quantization one is made with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from edgekd.graph.quantization.adaround import adaptively_rounded
from edgekd.graph.quantization.bias_correction import bias_corrected
from edgekd.graph.quantization.calibrate import Calibration, Method
from edgekd.graph.quantization.equalise import absorbed, equalised
from edgekd.graph.quantization.layers import layers_of, left_in_float
from edgekd.graph.quantization.simulation import Ingredients
from edgekd.graph.quantization.static import Numbers, calibrated, prepared

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import Ranges
    from edgekd.graph.quantization.schemes import StaticInt8


@dataclass(frozen=True)
class Recipe:
    """How a file is made. in_float: layers that stay so beside those that the user leaves."""

    method: Method
    seven_bits: bool = False
    corrected: bool = False
    equalised: bool = False
    absorbed: bool = False
    rounded: bool = False
    in_float: tuple[str, ...] = ()

    def steps(self, asked: Recipe) -> tuple[str, ...]:
        """What it does beyond what was asked for."""
        told = {
            "7-bit weights": self.seven_bits,
            f"calibration by {self.method}": self.method != asked.method,
            "equalisation": self.equalised,
            "bias absorption": self.absorbed,
            "bias correction": self.corrected and not self.rounded,
            "AdaRound": self.rounded,
            f"in float: {', '.join(self.in_float)}": bool(self.in_float),
        }
        return tuple(name for name, done in told.items() if done)


@dataclass
class Workshop:
    """Makes files by recipe; what several of them have in common is made once."""

    model: onnx.ModelProto
    numbers: Numbers
    floating: tuple[str, ...]
    feeds: FedRows
    known: Ranges
    percent: float
    graphs: dict[tuple[bool, bool], onnx.ModelProto | None] = field(default_factory=dict)
    ranges: dict[tuple[bool, bool, Method], Any] = field(default_factory=dict)
    adjusted: dict[Recipe, onnx.ModelProto | None] = field(default_factory=dict)

    def file(self, recipe: Recipe) -> bytes | None:
        """None where a step finds nothing in this model that it could change."""
        graph = self._adjusted(replace(recipe, in_float=()))
        return None if graph is None else self._of(graph, recipe).file()

    def ingredients(self, recipe: Recipe) -> Ingredients:
        """Of a file that could be made."""
        graph = self._adjusted(replace(recipe, in_float=()))
        assert graph is not None
        return self._of(graph, recipe)

    def _of(self, graph: onnx.ModelProto, recipe: Recipe) -> Ingredients:
        floating = (*self.floating, *recipe.in_float)
        return Ingredients(graph, self._ranges(recipe), self._numbers(recipe), floating)

    def candidates(self) -> list[str]:
        """The layers that could be left in float."""
        return [each.name for each in layers_of(self.model) if each.name not in self.floating]

    def _adjusted(self, recipe: Recipe) -> onnx.ModelProto | None:
        """The graph with other biases or weights; the ranges stay those that it has without."""
        graph = self._graph(recipe)
        if graph is None or not (recipe.corrected or recipe.rounded):
            return graph
        if recipe not in self.adjusted:
            adjust = adaptively_rounded if recipe.rounded else bias_corrected
            ranges, numbers = self._ranges(recipe), self._numbers(recipe)
            self.adjusted[recipe] = adjust(graph, ranges, numbers, self.floating, self.feeds)
        return self.adjusted[recipe]

    def _graph(self, recipe: Recipe) -> onnx.ModelProto | None:
        key = (recipe.equalised, recipe.absorbed)
        if key not in self.graphs:
            graph = equalised(self.model) if recipe.equalised else self.model
            self.graphs[key] = absorbed(graph, self.feeds) if recipe.absorbed and graph is not None else graph
        return self.graphs[key]

    def _ranges(self, recipe: Recipe) -> Any:
        key = (recipe.equalised, recipe.absorbed, recipe.method)
        if key not in self.ranges:
            graph = self._graph(recipe)
            assert graph is not None
            self.ranges[key] = calibrated(
                graph, self.feeds, Calibration(recipe.method, self.percent), self.numbers.scheme, self.known
            )
        return self.ranges[key]

    def _numbers(self, recipe: Recipe) -> Numbers:
        return replace(self.numbers, reduce_range=self.numbers.reduce_range or recipe.seven_bits)


def workshop_of(scheme: StaticInt8, fp32: Path, feeds: FedRows, known: Ranges, names: Sequence[str]) -> Workshop:
    """Of a scheme's files, made of the fp32 one.

    Raises:
        ConfigError: `fp32` is not a model, or a rule of the scheme is about no layer.
    """
    model = prepared(fp32, scheme.use, names)
    floating = left_in_float([each.name for each in layers_of(model)], scheme.rules, scheme.use)
    return Workshop(model, scheme.numbers, floating, feeds, known, scheme.percentile)
