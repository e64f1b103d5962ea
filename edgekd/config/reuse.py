"""A network that ends in the classifier of another one."""

from __future__ import annotations

from pydantic import Field

from edgekd.config.section import Section


class ReusedClassifier(Section):
    """The last linear layer of another network in the place of its own, behind a projector that ships with it.

    The classifier is copied and stays as it is; body and projector are trained, with the loss `sim_kd` or others.
    """

    network: str = Field(description="the network whose classifier it is, by name; one that is trained or loaded here")
    reduction: int = Field(
        2,
        ge=1,
        le=64,
        description="how many times fewer channels than the other network's features the projector of maps has inside; "
        "more makes it smaller",
    )
