"""What training makes small: a weighted sum of loss terms, each of them reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgekd.errors import ConfigError, placed
from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Loss, Term


class Objective(nn.Module):
    """Modules among the terms are trained with the student."""

    def __init__(self, terms: Sequence[WeightedTerm]) -> None:
        super().__init__()
        self.terms = tuple(terms)
        self.learned = nn.ModuleList(each.term for each in terms if isinstance(each.term, nn.Module))

    def forward(self, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and each term's own value without its weight.

        Raises:
            ConfigError: a term gave something else than one number, or cannot be had of this lesson.
        """
        values: dict[str, Tensor] = {}
        total = lesson.student.logits.new_zeros(())
        for each in self.terms:
            with placed(each.place), each.loss.called():
                value = each.value(lesson)
            values[each.name] = value.detach()
            total = total + each.weight_at(lesson.progress) * value
        return total, values


@dataclass(frozen=True)
class WeightedTerm:
    """name: for reports; weight_at: of each progress; term: what `loss` built; place: where the file has it."""

    name: str
    weight_at: Callable[[float], float]
    loss: Loss
    term: Term
    place: str

    def value(self, lesson: Lesson) -> Tensor:
        """The term's value without its weight.

        Raises:
            ConfigError: the term gave something else than one number.
        """
        value = self.term(lesson)
        if not isinstance(value, Tensor):
            shown = type(value).__name__
        elif value.is_complex():
            shown = "a complex number"
        elif value.numel() != 1:
            shown = str(tuple(value.shape))
        else:
            return value.reshape(())
        raise ConfigError(
            f"the loss {self.name} gave {shown} instead of one number", hint="take the mean over the batch"
        )


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
    places = [place_of(section, position) for position in range(len(losses))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        terms = [
            WeightedTerm(name, loss.weight_at, loss, _built(loss, shapes, place), place)
            for name, loss, place in zip(names, losses, places, strict=True)
        ]
    return Objective(terms)


def place_of(section: str, position: int) -> str:
    """Where the file has the loss."""
    return f"{section}.losses.{position}"


def _built(loss: Loss, shapes: Shapes, place: str) -> Term:
    with placed(place):
        return loss.build(shapes)
