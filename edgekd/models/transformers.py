"""A text network that others trained before: one of Hugging Face's transformers with BERT's pieces."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, JsonValue, PrivateAttr, ValidationInfo, field_validator

from edgekd.models.base import Model
from edgekd.models.text_inputs import PIECES, tokens
from edgekd.models.weights_folder import fetched, find_weights, need_library, weights_digest
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn

Freeze = Literal["none", "embeddings", "encoder"]
TextPooling = Literal["mean", "first"]


class TransformersModel(Model):
    """A network with the weights that lie in a folder, and a linear layer on its outputs, `head`; or a classifier with
    its own, if it tells as many classes apart. It reads the pieces of words that it was trained with.
    """

    name: str = Field(
        description="the folder of the weights, relative to this file, or to EDGEKD_DATA, ./data or the user's cache; "
        "or a name on the Hugging Face hub"
    )
    pooling: TextPooling = Field(
        "mean", description="what `head` reads: the mean over the outputs of a text, or the first one's"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="share left out in each training step, by every dropout layer; null: as it was"
    )
    freeze: Freeze = Field(
        "none",
        description="what stays as it is: nothing, the table of the pieces, or all but the classifier, which then "
        "learns from features that do not change",
    )

    _folder: Path | None = PrivateAttr()

    @field_validator("name")
    @classmethod
    def _leads_somewhere(cls, name: str, info: ValidationInfo) -> str:
        find_weights(name, info.context)
        return name

    def model_post_init(self, context: Any) -> None:
        self._folder = find_weights(self.name, context)

    @property
    def folder(self) -> Path:
        """Where the weights are; those of the hub are fetched if they must.

        Raises:
            ConfigError: the hub does not give them.
        """
        if self._folder is None:
            self._folder = fetched(self.name)
        return self._folder

    def identity(self) -> JsonValue:
        known = super().identity()
        assert isinstance(known, dict)
        options: JsonValue = self.model_dump(mode="json", exclude={"name"})
        need_library()
        found = {"content": weights_digest(self.folder), "transformers": version("transformers")}
        return {**known, "options": options, **found}

    def build(self, contract: ModelContract) -> nn.Module:
        need_library()
        from edgekd.models.pretrained import pretrained

        return pretrained(
            self.folder,
            tokens(contract, PIECES, self.use),
            contract.classes,
            pooling=self.pooling,
            dropout=self.dropout,
            freeze=self.freeze,
        )
