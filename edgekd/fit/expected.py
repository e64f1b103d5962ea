"""What the cost models expect of a network before it is measured, against the budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekd.config.fit import Budget
from edgekd.fit.cost_model import CostModel, fitted
from edgekd.fit.costs import Stand
from edgekd.fit.shape import Network
from edgekd.fit.tried import Tried, known_costs

TOLERANCE = 1.1  # of the budget: the models are wrong by about so much


@dataclass(frozen=True)
class Expected:
    """What is expected on one target. costs, sizes: by candidate, in seconds or instructions, and of the file in bytes.
    room: bytes that the file may have; limit: of the cost, None where there is none; usual: the median known."""

    costs: Mapping[str, CostModel]
    sizes: Mapping[str, CostModel]
    room: int | None
    limit: float | None
    usual: float

    def relative(self, network: Network) -> float:
        """The cost of the cheapest file that is small enough, against the limit, or without one the usual cost;
        infinite if no file is."""
        fit = (
            model(network)
            for name, model in self.costs.items()
            if self.room is None or self.sizes[name](network) <= TOLERANCE * self.room
        )
        return min(fit, default=float("inf")) / (self.limit or self.usual)


def expectations(tried: Sequence[Tried], stands: Sequence[Stand], budget: Budget) -> Iterator[Expected]:
    """Of each target on which costs are known, fitted on all shapes that were measured."""
    candidates = {name for each in tried for name in each.files}
    sizes = {}
    for name in candidates:
        made = [each for each in tried if name in each.files]
        sizes[name] = fitted([each.network for each in made], [each.sizes[name] for each in made])
    for stand in stands:
        limits = budget.on(stand.target.name)
        models: dict[str, CostModel] = {}
        known: list[float] = []
        for name in candidates:
            costs = known_costs(tried, stand.target.name, name)
            if costs:
                models[name] = fitted([tried[number].network for number in costs], list(costs.values()))
                known += costs.values()
        limit = None
        if stand.timed and limits.p50_ms is not None:
            limit = limits.p50_ms / 1e3
        elif stand.counted and limits.instructions is not None:
            limit = float(limits.instructions)
        if models:
            yield Expected(models, sizes, limits.model_bytes, limit, float(np.median(known)))
