"""What widths cost on a target, in words."""

from __future__ import annotations

from collections.abc import Iterator

from edgekd.records.layout import LayoutRecord


def told_widths(layout: LayoutRecord, target: str) -> Iterator[str]:
    """Nothing where other widths would save nothing."""
    if layout.multiple is None or layout.least_reorders is None or layout.least_outside is None:
        return
    costs = []
    if reorders := layout.reorders - layout.least_reorders:
        costs.append(f"{reorders} change{'s' if reorders > 1 else ''} of layout")
    if outside := layout.outside - layout.least_outside:
        costs.append(f"{outside} convolution{'s' if outside > 1 else ''} outside of its blocks of channels")
    odd = ", ".join(f"convolution {each.convolution} of {each.channels}" for each in layout.odd)
    yield (
        f"widths that are no multiples of {layout.multiple} cost {' and '.join(costs)} in each inference on {target}: "
        f"{odd} channels"
    )
    yield (
        f"trained with student.model.aligned: {layout.multiple}, or as the candidate {{use: padded, multiple: "
        f"{layout.multiple}}}, it is spared that; more channels take time too: compare them"
    )
