"""Weights of a smaller network taken from a larger one, unit by unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgekd.training.initialisers.base import Taken
from edgekd.training.initialisers.pairing import pairs
from edgekd.training.initialisers.selection import Order
from edgekd.training.initialisers.units import Dim, Followed

UNPAIRED = "no layer has its place"
OTHERWISE = "its units are arranged otherwise"
LARGER = "it has more units"
UNKNOWN = "its units cannot be told apart"


class _MisfitError(Exception):
    """Why a tensor cannot be taken."""


@dataclass(frozen=True)
class _Fit:
    """The units of the one that is filled (mine) and of the other one (theirs), with the order in which the other's
    are kept."""

    mine: Followed
    theirs: Followed
    order: Order

    def taken(self, given: Tensor, other: str, wanted: Tensor, name: str) -> Tensor:
        """The entries of the given tensor that make the wanted one; with the names of both."""
        dims, own = self.theirs.dims.get(other, ()), self.mine.dims.get(name, ())
        if len(dims) != len(own) or given.ndim != wanted.ndim:
            raise _MisfitError(OTHERWISE)
        for place, (dim, small) in enumerate(zip(dims, own, strict=True)):
            given = given.index_select(place, self._kept(dim, small))
        if given.shape != wanted.shape:
            raise _MisfitError(UNKNOWN)
        return given

    def _kept(self, dim: Dim, small: Dim) -> Tensor:
        """The entries of a dimension that are kept, ascending."""
        if [part.repeat for part in dim] != [part.repeat for part in small]:
            raise _MisfitError(OTHERWISE)
        places: list[Tensor] = []
        offset = 0
        for part, less in zip(dim, small, strict=True):
            root = self.theirs.units.root(part.units)
            have, want = self.theirs.units.size(root), self.mine.units.size(less.units)
            if want > have:
                raise _MisfitError(LARGER)
            if want < have and self.theirs.units.whole(root):
                raise _MisfitError(UNKNOWN)
            kept = self.order[root][:want].sort().values
            places.append((offset + kept[:, None] * part.repeat + torch.arange(part.repeat)).flatten())
            offset += have * part.repeat
        return torch.cat(places)


def narrow(student: nn.Module, mine: Followed, teacher: nn.Module, theirs: Followed, order: Order) -> Taken:
    """Fills the student; mine, theirs: the units of both; order: which of the teacher's are kept first.

    The tensors of a layer are taken together or not at all: a bias is worth nothing without its weights.
    """
    state, given = student.state_dict(), teacher.state_dict()
    fit = _Fit(mine, theirs, order)
    fresh = dict.fromkeys(state, UNPAIRED)
    for layer, counterpart in pairs(student, teacher):
        names = dict(_tensors(state, given, layer, counterpart))
        try:
            taken = {name: fit.taken(given[other], other, state[name], name) for name, other in names.items()}
        except _MisfitError as misfit:
            fresh.update(dict.fromkeys(names, str(misfit)))
            continue
        with torch.no_grad():
            for name, tensor in taken.items():
                state[name].copy_(tensor)
                del fresh[name]
    return Taken(len(state), fresh)


def _tensors(
    state: Mapping[str, Tensor], given: Mapping[str, Tensor], layer: str, counterpart: str
) -> Iterator[tuple[str, str]]:
    """The names of a module's own tensors that both have."""
    for name in state:
        at, _, tensor = name.rpartition(".")
        other = f"{counterpart}.{tensor}".lstrip(".")
        if at == layer and other in given:
            yield name, other
