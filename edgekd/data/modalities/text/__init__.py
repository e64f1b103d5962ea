"""Texts: UTF-8 in, the numbers of their words' pieces in a vocabulary out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekd.data.modalities.text.inputs import PADDING
from edgekd.data.modalities.text.inputs import accepted as accepted
from edgekd.data.modalities.text.inputs import feed as feed
from edgekd.data.modalities.text.inputs import read as read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgekd.config.training import AugmentOptions
    from edgekd.data.modalities.base import Augment, Spec

KEY = "texts"
NOUN = "texts"
RAW = False
LABELS_HOLD = False
LIMITS = (
    "The accuracy holds for texts like the test texts; nothing in the model notices a text of another kind or "
    "language, and each is given one of the classes.",
    "What a text has beyond the input's length is not read.",
)


def specify(samples: Any, reading: Mapping[str, Any] = {}) -> list[dict[str, Any]]:
    """The input `ids`: int32 (L,), pieces of a vocabulary that is cut to the training texts; and, if `reading` names a
    vocabulary, `pieces`: int32 (P,), those of all of it. See `Tokenizer` for what their preprocessing says.

    reading: `tokenizer` may hold the options of `vocabulary.Settings`.

    Raises:
        ValueError: as `accepted`, or the vocabulary does not fit.
    """
    from edgekd.data.vocabulary import specs_for

    return specs_for(samples, reading.get("tokenizer", {}))


def shifted(
    samples: NDArray[np.bytes_],  # noqa: ARG001 - the signature of every kind of input
    specs: Sequence[Spec],  # noqa: ARG001
    kind: str,
    amount: float,  # noqa: ARG001
    seed: int,  # noqa: ARG001
) -> NDArray[np.bytes_]:
    """
    Raises:
        ValueError: texts know no change.
    """
    raise ValueError(f"{kind} is for images\ntexts take none: leave `shift` out")


def augmentation(options: AugmentOptions, specs: Sequence[Spec]) -> Augment | None:
    """Words hidden, replaced or left out, as `TextAugment` does.

    Raises:
        ValueError: an option that texts have no use for, or `mask` and `replace` are more than all words.
    """
    from edgekd.data.modalities.base import asked_for

    if not asked_for(options, {"mask", "replace", "span"}, NOUN):
        return None
    if options.mask + options.replace > 1:
        raise ValueError(
            f"mask and replace are {options.mask + options.replace:g} of the words together\n"
            "a word is hidden or replaced, not both: at most 1"
        )
    from edgekd.data.modalities.text.augment import TextAugment

    return TextAugment(options, specs)


def numbers(specs: Sequence[Spec]) -> int:
    """Three for the span, and one for each word that there may be."""
    return 3 + max(int(spec["shape"][0]) for spec in specs)


def alternating(options: AugmentOptions) -> Sequence[int]:  # noqa: ARG001 - the signature of every kind of input
    """None of them."""
    return ()


def facts(specs: Sequence[Spec]) -> list[tuple[str, str]]:
    """Of input and preprocessing."""
    taken = ", ".join(f"`{each['name']}`: {each['dtype']} (N, {each['shape'][0]})" for each in specs)
    return [
        ("input", f"{taken}, shorter ones filled up with {PADDING} or fed as they are"),
        ("preprocessing", "; ".join(f"`{each['name']}`: {_told(each['preprocessing'])}" for each in specs)),
    ]


def cpp_constants(specs: Sequence[Spec]) -> list[str]:  # noqa: ARG001 - the signature of every kind of input
    """None: texts have no header."""
    return []


def _told(rules: Mapping[str, Any]) -> str:
    case = "lower case" if rules["lowercase"] else "case kept"
    accents = "accents kept" if rules["accents"] else "accents off"
    lacking = "is unknown" if rules["bytes"] < 0 else "comes as its UTF-8 bytes"
    entries = f"{len(rules['vocabulary']):,} entries, which manifest.json has"
    return (
        f"words as BERT splits them, {case}, {accents}; their longest pieces among {entries}; what is not among them "
        f"{lacking}"
    )
