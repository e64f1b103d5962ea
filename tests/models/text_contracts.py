"""Contracts for texts, made by hand, and a network of the library that is small and random."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import JsonValue
from torch import Tensor

from edgekd.config.component import component_class
from edgekd.config.registry import MODELS
from edgekd.models.base import Model
from edgekd.records.contract import InputSpec, ModelContract

WORDS = ("good", "bad", "film", "the", "a", "##s", "##ing", "great", "night", "##ly", "terrible", "movie")
CUT = ("[PAD]", "[UNK]", *WORDS, *(f"<0x{each:02X}>" for each in range(256)))
FULL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "dog", "cat")
MINI_LM = Path("models/all-MiniLM-L6-v2")


def preprocessing(vocabulary: tuple[str, ...], first: int = -1, last: int = -1) -> dict[str, JsonValue]:
    return {
        "lowercase": True,
        "accents": False,
        "vocabulary": list(vocabulary),
        "continuation": "##",
        "unknown": 1,
        "bytes": vocabulary.index("<0x00>") if "<0x00>" in vocabulary else -1,
        "first": first,
        "last": last,
        "longest_word": 100,
    }


def text_contract(
    length: int = 12,
    *,
    ids: tuple[str, ...] = CUT,
    pieces: tuple[str, ...] | None = FULL,
    classes: tuple[str, ...] = ("bad", "good", "neither"),
) -> ModelContract:
    """Without pieces where there are none."""
    specs = [InputSpec(name="ids", dtype="int32", shape=(length,), varies=True, preprocessing=preprocessing(ids))]
    if pieces is not None:
        ends = [pieces.index(each) for each in ("[CLS]", "[SEP]")]
        specs.append(
            InputSpec(
                name="pieces", dtype="int32", shape=(length,), varies=True, preprocessing=preprocessing(pieces, *ends)
            )
        )
    return ModelContract(modality="text", inputs=tuple(specs), classes=classes)


def model(use: str, *, folder: Path | None = None, **options: object) -> Model:
    """folder: of the file that names it."""
    context = None if folder is None else {"folder": folder}
    made = component_class(MODELS, use).model_validate({"use": use, **options}, context=context)
    assert isinstance(made, Model)
    return made


def some(lengths: list[int], width: int, entries: int, seed: int = 0) -> Tensor:
    """Tokens int32 (N, width) of texts of such lengths, filled up with zeros."""
    drawn = torch.randint(1, entries, (len(lengths), width), generator=torch.Generator().manual_seed(seed))
    there = torch.arange(width) < torch.tensor(lengths).unsqueeze(1)
    return (drawn * there).to(torch.int32)


def save_bert(folder: Path, *, classes: int | None = None, **settings: Any) -> Path:
    """A BERT of two small layers with random weights, kept as fp16; classes: of its own classifier, if it has one."""
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    sizes: Mapping[str, Any] = {
        "vocab_size": len(FULL),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        "initializer_range": 0.5,
        **({} if classes is None else {"num_labels": classes}),
        **settings,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = (BertModel if classes is None else BertForSequenceClassification)(BertConfig(**sizes))
    network.half().save_pretrained(folder)  # type: ignore[no-untyped-call]
    return folder


def mini_lm() -> Path:
    """The folder of real weights, or the test is left out."""
    folder = Path(os.environ.get("EDGEKD_DATA", "")) / MINI_LM
    if "EDGEKD_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("EDGEKD_DATA has no models/all-MiniLM-L6-v2")
    return folder
