"""Whether what was found of a shape is within the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekd.config.fit import Budget, Costs
from edgekd.fit.costs import Cost
from edgekd.records.pricing import PricedFile


def over(costs: Costs, size_bytes: int, cost: Cost) -> str:
    """Why a file is not within what it may cost on a target; empty if it is."""
    if cost.refused:
        return cost.refused
    if costs.model_bytes is not None and size_bytes > costs.model_bytes:
        return f"{size_bytes:,} bytes against {costs.model_bytes:,}"
    if costs.p50_ms is not None and cost.p50_s is not None and cost.p50_s * 1e3 > costs.p50_ms:
        return f"{cost.p50_s * 1e6:.1f} µs against {costs.p50_ms * 1e3:.1f}"
    if costs.instructions is not None and cost.instructions is not None and cost.instructions > costs.instructions:
        return f"{cost.instructions:,} instructions against {costs.instructions:,}"
    return ""


def too_large(budget: Budget, parameters: int) -> str:
    if budget.parameters is not None and parameters > budget.parameters:
        return f"more than {budget.parameters:,} parameters"
    return ""


def unfit(files: Mapping[str, Sequence[PricedFile]]) -> str:
    """The first target on which no file is within the budget, with the reason of the cheapest; empty if there is
    none."""
    for target, found in files.items():
        if found and all(each.unfit for each in found):
            cheapest = min(found, key=lambda each: (each.cost or float("inf"), each.size_bytes))
            return f"{target}: {cheapest.candidate} {cheapest.unfit}"
    return ""
