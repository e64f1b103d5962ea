"""What training makes small: a weighted sum of loss terms, each of them reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Loss, Term


class Objective(nn.Module):
    """terms: name, weight at each progress, and function of each. Modules among them are trained with the student."""

    def __init__(self, terms: Sequence[tuple[str, Callable[[float], float], Term]]) -> None:
        super().__init__()
        self.terms = tuple(terms)
        self.learned = nn.ModuleList(term for _, _, term in terms if isinstance(term, nn.Module))

    def forward(self, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and each term's own value without its weight.

        Raises:
            ConfigError: a term gave something else than one number.
        """
        values: dict[str, Tensor] = {}
        total = lesson.student.logits.new_zeros(())
        for name, weight_at, term in self.terms:
            value = term(lesson)
            if not isinstance(value, Tensor) or value.numel() != 1:
                shown = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ConfigError(
                    f"the loss {name} gave {shown} instead of one number", hint="take the mean over the batch"
                )
            values[name] = value.detach()
            total = total + weight_at(lesson.progress) * value.reshape(())
        return total, values


def objective_from(losses: Sequence[Loss], shapes: Shapes, seed: int, section: str) -> Objective:
    """The objective of `losses`, named as in the file's section; a second one of the same name is numbered.

    What terms learn of their own starts from the seed, and takes no random number from anybody else.

    Raises:
        ConfigError: a loss does not fit what it reads.
    """
    names: list[str] = []
    for loss in losses:
        count = sum(name.partition("#")[0] == loss.use for name in names)
        names.append(f"{loss.use}#{count + 1}" if count else loss.use)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        terms = [_built(loss, shapes, place_of(section, position)) for position, loss in enumerate(losses)]
    weights = [loss.weight_at for loss in losses]
    return Objective(list(zip(names, weights, terms, strict=True)))


def place_of(section: str, position: int) -> str:
    """Where the file has the loss."""
    return f"{section}.losses.{position}"


def _built(loss: Loss, shapes: Shapes, place: str) -> Term:
    try:
        return loss.build(shapes)
    except ConfigError as error:
        error.where = error.where or place
        raise
