"""The module of `use: transformers`: a network of Hugging Face's library, which reads the pieces of a contract."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from edgekd.errors import ConfigError
from edgekd.models.silence import silent, told
from edgekd.models.text_inputs import PADDING, Tokens
from edgekd.models.text_network import PieceReader, mean_over, there
from edgekd.models.transformers import Freeze, TextPooling

MATCHING = "config.json and the files *.safetensors must be of one network that the installed transformers knows"


class Pretrained(PieceReader):
    """network: of the library. What is frozen stays in evaluation mode, so that its answers do not change."""

    def __init__(self, place: int, network: PreTrainedModel, freeze: Freeze) -> None:
        super().__init__(place)
        self.network = network
        self.freeze = freeze
        if freeze == "encoder":
            self.encoder.requires_grad_(False)
        elif freeze == "embeddings":
            network.get_input_embeddings().requires_grad_(False)

    @property
    def encoder(self) -> PreTrainedModel:
        """The network without a classifier."""
        return cast("PreTrainedModel", self.network.base_model)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.freeze == "encoder":
            self.encoder.eval()  # type: ignore[no-untyped-call]
        return self

    def outputs(self, pieces: Tensor) -> Tensor:
        outputs: Tensor = self.encoder(input_ids=pieces, attention_mask=pieces != PADDING).last_hidden_state
        return outputs

    @abstractmethod
    def answer(self, tokens: Tensor) -> Tensor: ...


class Headed(Pretrained):
    """An encoder with a new linear layer."""

    def __init__(
        self,
        place: int,
        network: PreTrainedModel,
        freeze: Freeze,
        *,
        pooling: TextPooling,
        dropout: float,
        classes: int,
    ) -> None:
        super().__init__(place, network, freeze)
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(network.config.hidden_size, classes)

    def answer(self, tokens: Tensor) -> Tensor:
        outputs = self.outputs(tokens)
        pooled = outputs[:, 0] if self.pooling == "first" else mean_over(outputs, there(tokens))
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


class Classifier(Pretrained):
    """A network with the classifier that it was trained with; order: of its outputs as the contract has its classes."""

    def __init__(self, place: int, network: PreTrainedModel, freeze: Freeze, order: Sequence[int]) -> None:
        super().__init__(place, network, freeze)
        self.order = list(order)

    def answer(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.network(input_ids=tokens, attention_mask=tokens != PADDING).logits
        return logits if self.order == sorted(self.order) else logits[:, self.order]


def pretrained(
    folder: Path,
    pieces: Tokens,
    classes: Sequence[str],
    *,
    pooling: TextPooling,
    dropout: float | None,
    freeze: Freeze,
) -> Pretrained:
    """The network in a folder, of float32 whatever it is kept as, with its own classifier where that has as many
    outputs as there are classes, else with a new one.

    Raises:
        ConfigError: it cannot be loaded, or the pieces are not those that it was trained with.
    """
    with silent(), told(f"{folder} cannot be loaded", MATCHING):
        settings = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    _check_pieces(folder, settings, pieces)
    classifies = any(each.endswith("ForSequenceClassification") for each in settings.architectures or ())
    order = _order(settings.id2label, classes) if classifies else None
    kind = AutoModel if order is None else AutoModelForSequenceClassification
    with silent(), told(f"{folder} cannot be loaded", MATCHING):
        network, loaded = kind.from_pretrained(
            folder,
            config=settings,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="eager",  # the form that a file has; on a processor no slower than the others
            output_loading_info=True,
        )
    lacking = sorted(each for each in loaded["missing_keys"] if "pooler" not in each or order is not None)
    if lacking:
        raise ConfigError(
            f"{folder}: {len(lacking)} tensors of the network are not in its weights, such as {lacking[0]}",
            hint=MATCHING,
        )
    for each in network.modules():
        if dropout is not None and isinstance(each, nn.Dropout):
            each.p = dropout
    if order is not None:
        return Classifier(pieces.place, network, freeze, order)
    if "pooler" in dict(network.named_children()):
        network.pooler = None  # nobody reads it, so it could not learn
    share = getattr(settings, "hidden_dropout_prob", 0.1) if dropout is None else dropout
    return Headed(pieces.place, network, freeze, pooling=pooling, dropout=share, classes=len(classes))


def _check_pieces(folder: Path, settings: PretrainedConfig, pieces: Tokens) -> None:
    """
    Raises:
        ConfigError: the network was trained with others, or takes no texts of that length.
    """
    found, wanted = len(pieces.vocabulary), getattr(settings, "vocab_size", None)
    if wanted is None:
        raise ConfigError(f"{folder} holds no network for texts: it has no vocabulary", hint=MATCHING)
    if found != wanted:
        raise ConfigError(
            f"{folder} was trained with a vocabulary of {wanted} pieces, the one of the data has {found}",
            hint="name the vocab.txt that lies beside its weights: `tokenizer: {vocabulary: FOLDER/vocab.txt}` in the "
            "section `data`",
        )
    if getattr(settings, "pad_token_id", PADDING) not in (PADDING, None):
        raise ConfigError(
            f"{folder} fills texts up with the piece {settings.pad_token_id}, which here is always {PADDING}",
            hint="take a network of the BERT kind",
        )
    longest = getattr(settings, "max_position_embeddings", None)
    if longest is not None and pieces.length > longest:
        raise ConfigError(
            f"{folder} takes texts of at most {longest} pieces, those of the data have up to {pieces.length}",
            hint=f"cut them: `tokenizer: {{pieces_length: {longest}}}` in the section `data`",
        )


def _order(names: Mapping[int, str], classes: Sequence[str]) -> list[int] | None:
    """Which output is that of each class: by its name where these are the same, else by its number; None where there
    are more or fewer."""
    told_apart = [names[place] for place in sorted(names)]
    if len(told_apart) != len(classes):
        return None
    theirs, ours = ([each.casefold() for each in names] for names in (told_apart, classes))
    if sorted(theirs) == sorted(ours):
        return [theirs.index(each) for each in ours]
    return list(range(len(classes)))
