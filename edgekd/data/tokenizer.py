"""How texts become numbers, as a pipeline says it of any data set of texts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self

from pydantic import Field, JsonValue, PrivateAttr, ValidationInfo, field_validator, model_validator

from edgekd.config.component import identity
from edgekd.config.paths import data_folders, find_data
from edgekd.config.section import Section
from edgekd.data.vocabulary import SIZE, read_vocabulary


class TokenizerOptions(Section):
    """How texts become numbers: words as BERT has them, and pieces of words."""

    vocabulary: Path | None = Field(
        None,
        description="a vocab.txt of WordPiece, or a folder with one or with a tokenizer.json of BERT's kind, such as a "
        "teacher's: students read those of its pieces that the training texts use, teachers all of them. By default "
        "the words that the training texts hold twice are known, and all others are spelt",
    )
    size: int = Field(SIZE, ge=1, le=1 << 20, description="how many pieces, the most frequent ones, students know")
    length: int | None = Field(
        None,
        ge=2,
        le=4096,
        description="pieces of a text that students read; by default those of the longest training text, up to 256",
    )
    pieces_length: int | None = Field(
        None, ge=3, le=4096, description="the same of the whole vocabulary, with its marks for first and last"
    )

    _found: Path | None = PrivateAttr(None)

    @field_validator("vocabulary")
    @classmethod
    def _fits(cls, vocabulary: Path | None, info: ValidationInfo) -> Path | None:
        if vocabulary is not None:
            found = find_data(vocabulary, info.context)
            if found is None:
                places = ", ".join(map(str, data_folders()))
                raise ValueError(
                    f"no such file or folder: {vocabulary}\nput it beside this file, or into one of: {places}; "
                    "EDGEKD_DATA names a data folder of your own"
                )
            read_vocabulary(found)
        return vocabulary

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if self.pieces_length is not None and self.vocabulary is None:
            raise ValueError("`pieces_length` is of a vocabulary, and there is none\nname one, or leave it out")
        return self

    def model_post_init(self, context: Any) -> None:
        if self.vocabulary is not None:
            self._found = find_data(self.vocabulary, context)

    def identity(self) -> JsonValue:
        """Of the vocabulary what decides the numbers, wherever it lies."""
        known = None
        if self._found is not None:
            content = json.dumps(read_vocabulary(self._found))
            known = hashlib.sha256(content.encode()).hexdigest()
        return {**identity(self, without=frozenset({"vocabulary"})), "vocabulary": known}

    def reading(self) -> dict[str, JsonValue]:
        """See `LabelledData`."""
        file = None if self._found is None else str(self._found)
        return {
            "tokenizer": {
                "vocabulary_file": file,
                "size": self.size,
                "length": self.length,
                "pieces_length": self.pieces_length,
            }
        }
