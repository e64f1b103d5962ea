"""Which layer of one network stands for which layer of another, by their places in the two module trees."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.conv import _ConvNd

Pair = tuple[str, str]


def pairs(student: nn.Module, teacher: nn.Module, at: Pair = ("", "")) -> Iterator[Pair]:
    """The names of paired modules, containers and layers, from the roots down.

    Children are paired by name. In a sequence, where a name is a number or ends in one, it is a place: there each
    kind of child is paired in order, and where one side has fewer of a kind, with evenly spaced ones of the other, the
    first and the last among them; one alone with the first. (Of 12 layers 6 are 0, 2, 4, 7, 9, 11, as in DistilBERT.)
    """
    if not _alike(student, teacher):
        return
    yield at
    theirs = dict(teacher.named_children())
    for mine, name in _children(student, teacher):
        below = (f"{at[0]}.{mine}".lstrip("."), f"{at[1]}.{name}".lstrip("."))
        yield from pairs(student.get_submodule(mine), theirs[name], below)


def _children(student: nn.Module, teacher: nn.Module) -> Iterator[Pair]:
    placed = isinstance(student, (nn.Sequential, nn.ModuleList))
    mine, theirs = dict(student.named_children()), dict(teacher.named_children())
    places: list[dict[object, list[str]]] = []
    for children in (mine, theirs):
        of_kind: dict[object, list[str]] = {}
        for name, child in children.items():
            if placed and name[-1].isdigit():
                of_kind.setdefault(_kind(child), []).append(name)
        places.append(of_kind)
    numbered = {name for names in places[0].values() for name in names}
    yield from ((name, name) for name in mine if name in theirs and name not in numbered)
    for kind, names in places[0].items():
        others = places[1].get(kind, [])
        count = min(len(names), len(others))
        yield from zip(_spread(names, count), _spread(others, count), strict=True)


def _spread(names: list[str], count: int) -> list[str]:
    """So many of them, evenly spaced, first and last among them."""
    if count <= 1:
        return names[:count]
    gaps = count - 1
    return [names[(2 * place * (len(names) - 1) + gaps) // (2 * gaps)] for place in range(count)]


def _alike(student: nn.Module, teacher: nn.Module) -> bool:
    """Whether one may stand for the other; a sequence may for any other one."""
    return _kind(student) == _kind(teacher) or (
        isinstance(student, nn.Sequential) and isinstance(teacher, nn.Sequential)
    )


def _kind(module: nn.Module) -> object:
    if isinstance(module, _ConvNd):
        return type(module), module.kernel_size, grouping(module)
    return type(module)


def grouping(module: _ConvNd) -> str | int:
    """How a convolution's channels are grouped: all together, each by itself, or in so many groups."""
    if module.groups == 1:
        return "plain"
    return "depthwise" if module.groups == module.in_channels else module.groups
