"""Words are hidden, replaced and left out in all inputs alike, from the numbers of each text alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities.base import Augment
from edgekd.data.modalities.text import accepted, augmentation, feed, numbers, specify

LETTERS = "abcdefghijklmnopqrst"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{each}" for each in LETTERS), ".", "ab"]
CASES = 400


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every letter is a word of one piece, `ab` one of the whole vocabulary alone, `cd` of two pieces, and `zz` of
    bytes, or unknown. The pieces are cut off earlier."""
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n")
    texts = accepted([" ".join(LETTERS), " ".join(LETTERS), "cd . ."])
    tokenizer = {"vocabulary_file": str(path), "size": 100, "length": 24, "pieces_length": 16}
    return specify(texts, {"tokenizer": tokenizer})


def fed(texts: list[str], specs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(each) for name, each in feed(accepted(texts), specs).items()}


def drawn(count: int, specs: list[dict[str, Any]], seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((count, numbers(specs)))


def augment(specs: list[dict[str, Any]], **options: float) -> Augment:
    found = augmentation(AugmentOptions.model_validate(options), specs)
    assert found is not None
    return found


def words(row: torch.Tensor, spec: dict[str, Any]) -> list[str]:
    """The words of a text, each as the entries that it is made of."""
    rules, found = spec["preprocessing"], list[list[str]]()
    numbers_of_row = row.tolist()
    length = len(numbers_of_row) - numbers_of_row[::-1].index(next(each for each in reversed(numbers_of_row) if each))
    assert 0 not in numbers_of_row[:length]
    for number in numbers_of_row[:length]:
        entry = rules["vocabulary"][number]
        if number in (rules["first"], rules["last"]):
            continue
        if entry.startswith(("##", "<0x")):
            found[-1].append(entry)
        else:
            found.append([entry])
    return [" ".join(each) for each in found]


def changed(texts: list[str], specs: list[dict[str, Any]], seed: int = 0, **options: float) -> list[list[list[str]]]:
    """The words of each text in each input, of changed copies."""
    made = augment(specs, **options)(fed(texts, specs), drawn(len(texts), specs, seed))
    return [[words(row, spec) for row in made[spec["name"]]] for spec in specs]


def within_noise(hits: int, cases: int, share: float) -> bool:
    """Four standard errors of a binomial."""
    return abs(hits - cases * share) < 4 * math.sqrt(cases * share * (1 - share))


def test_a_share_of_the_words_is_hidden_in_all_inputs_alike(specs: list[dict[str, Any]]) -> None:
    text = "a cd zz b ab c d e f"
    ids, pieces = changed([text] * CASES, specs, mask=0.3)
    whole = ["a", "cd", "zz", "b", "ab", "c", "d", "e", "f"]
    in_ids = {"cd": "c ##d", "zz": "[UNK] <0x7A> <0x7A>", "ab": "a <0x62>"}
    in_pieces = {"cd": "c ##d", "zz": "[UNK]"}
    hidden = 0
    for row in range(CASES):
        assert len(ids[row]) == len(pieces[row]) == len(whole)
        for word, one, other in zip(whole, ids[row], pieces[row], strict=True):
            assert (one == "[UNK]") == (other == "[MASK]")
            if one == "[UNK]":
                hidden += 1
            else:
                assert (one, other) == (in_ids.get(word, word), in_pieces.get(word, word))
    assert within_noise(hidden, CASES * len(whole), 0.3)


def test_what_follows_a_hidden_word_moves_up_and_only_the_end_is_padding(specs: list[dict[str, Any]]) -> None:
    inputs, made = fed(["zz a cd b"], specs), drawn(1, specs)
    made[:, 3:] = 0.9
    made[0, [3, 5]] = 0.0  # the first and third word
    found = augment(specs, mask=0.5)(inputs, made)
    ids, pieces = ({entry: n for n, entry in enumerate(each["preprocessing"]["vocabulary"])} for each in specs)
    wanted = [ids["[UNK]"], ids["a"], ids["[UNK]"], ids["b"]]
    assert found["ids"].tolist() == [wanted + [0] * 20]
    frame = [pieces[each] for each in ("[CLS]", "[MASK]", "a", "[MASK]", "b", "[SEP]")]
    assert found["pieces"].tolist() == [frame + [0] * 10]
    assert found["ids"].dtype == found["pieces"].dtype == torch.int32


def test_without_a_mark_for_it_a_hidden_word_is_unknown(specs: list[dict[str, Any]]) -> None:
    pieces = {**specs[1], "preprocessing": {**specs[1]["preprocessing"]}}
    pieces["preprocessing"]["vocabulary"] = [each.replace("[MASK]", "[other]") for each in VOCABULARY]
    ((found,),) = changed(["a a a a a a a a"], [pieces], mask=0.5)
    assert set(found) == {"a", "[UNK]"}


@pytest.mark.parametrize("text", ["a", "zz", "a b", "cd"])
def test_one_word_is_never_hidden(specs: list[dict[str, Any]], text: str) -> None:
    for found in changed([text] * CASES, specs, mask=0.99):
        untouched = [sum(word not in ("[UNK]", "[MASK]") or text == "zz" for word in row) for row in found]
        assert min(untouched) == 1
    ids, _ = changed(["zz zz"] * CASES, specs, mask=0.99)
    assert {tuple(sorted(row)) for row in ids} <= {("[UNK]", "[UNK] <0x7A> <0x7A>"), ("[UNK] <0x7A> <0x7A>",) * 2}


def test_a_share_of_the_words_of_one_piece_becomes_another_such_word_the_same_in_all_inputs(
    specs: list[dict[str, Any]],
) -> None:
    text = "a cd zz b ab c . e f"
    ids, pieces = changed([text] * CASES, specs, replace=0.25)
    replaced = 0
    for one, other in zip(ids, pieces, strict=True):
        assert [one[place] for place in (1, 2, 4, 6)] == ["c ##d", "[UNK] <0x7A> <0x7A>", "a <0x62>", "."]
        assert [other[place] for place in (1, 2, 4, 6)] == ["c ##d", "[UNK]", "ab", "."]
        for place in (0, 3, 5, 7, 8):
            assert one[place] == other[place]
            assert one[place] in LETTERS
            replaced += one[place] != text.split()[place]
    assert within_noise(replaced, CASES * 5, 0.25)


def test_frequent_words_stand_for_others_more_often_by_the_law_of_their_ranks(specs: list[dict[str, Any]]) -> None:
    order = [each for each in specs[0]["preprocessing"]["vocabulary"] if each in LETTERS]
    assert len(order) == 20
    ids, _ = changed(["t " * 14] * CASES, specs, replace=0.99)
    found = [word for row in ids for word in row if word != "t"]
    weights = np.array([1 / (rank + 2.7) for rank in range(1, 21)])
    shares = dict(zip(order, weights / weights.sum(), strict=True))
    # in the place of the word itself comes the next one: after the last the first
    shares[order[0]] += shares["t"] if order[-1] == "t" else 0
    assert order[-1] == "t"
    for word in order[:-1]:
        assert within_noise(found.count(word), len(found), shares[word])


def test_hiding_and_replacing_together_leave_the_rest(specs: list[dict[str, Any]]) -> None:
    ids, _ = changed(["a a a a a a a a a a"] * CASES, specs, mask=0.2, replace=0.3)
    every = [word for row in ids for word in row]
    assert within_noise(every.count("[UNK]"), len(every), 0.2)
    assert within_noise(every.count("a"), len(every), 0.5)


def test_a_share_of_the_texts_is_cut_to_one_to_five_words_in_a_row(specs: list[dict[str, Any]]) -> None:
    text = "a b c d e f g h"
    ids, pieces = changed([text] * 5 * CASES, specs, span=0.4)
    assert ids == pieces
    lengths = [len(row) for row in ids]
    assert all(" ".join(row) in text for row in ids)
    assert set(lengths) == {1, 2, 3, 4, 5, 8}
    assert within_noise(sum(each < 8 for each in lengths), 5 * CASES, 0.4)
    for length in range(1, 6):
        assert within_noise(lengths.count(length), 5 * CASES, 0.08)
        firsts = [row[0] for row in ids if len(row) == length]
        places = 9 - length
        assert all(within_noise(firsts.count(each), len(firsts), 1 / places) for each in LETTERS[:places])
    short = {" ".join(row) for row in changed(["a cd"] * CASES, specs, span=0.99)[0]}
    assert short == {"a", "c ##d", "a c ##d"}


def test_a_span_without_its_words_keeps_one_that_is_not_hidden(specs: list[dict[str, Any]]) -> None:
    for found in changed(["a b c d e f g h"] * CASES, specs, span=1, mask=0.9):
        assert min(sum(word in LETTERS for word in row) for row in found) == 1


def test_words_that_one_input_has_no_room_for_are_changed_in_the_other_as_if_it_had(
    specs: list[dict[str, Any]],
) -> None:
    text = " ".join(LETTERS)
    ids, pieces = changed([text] * CASES, specs, mask=0.3, replace=0.3)
    for one, other in zip(ids, pieces, strict=True):
        assert (len(one), len(other)) == (20, 14)
        assert [word.replace("[UNK]", "[MASK]") for word in one[:14]] == other
    late = [word for row in ids for word in row[14:]]
    assert within_noise(late.count("[UNK]"), len(late), 0.3)
    spans = changed([text] * CASES, specs, span=1)
    assert spans[0] == spans[1]
    assert {word for row in spans[0] for word in row} == set(LETTERS[:14])
    for one, other in zip(*changed(["a b c " + "cd " * 8] * CASES, specs, mask=0.99), strict=True):
        assert len(one) > len(other)
        assert other.count("[MASK]") < len(other)
        assert [word.replace("[UNK]", "[MASK]") for word in one[: len(other)]][:-1] == other[:-1]


def test_the_beginning_of_a_word_is_no_word_of_one_piece(specs: list[dict[str, Any]]) -> None:
    short = [{**specs[0], "shape": [3]}, specs[1]]
    ids, pieces = changed(["a b cd"] * CASES, short, replace=0.99)
    assert {row[2] for row in ids} == {"c"}
    assert {row[2] for row in pieces} == {"c ##d"}
    assert all(one[:2] == other[:2] != ["a", "b"] for one, other in zip(ids, pieces, strict=True) if "a" not in one)


def test_a_text_looks_the_same_in_every_batch_and_input_alone(specs: list[dict[str, Any]]) -> None:
    texts = ["a cd zz b ab c . e f", "b", "\u200b", "c d e f g h i"]
    change, inputs, made = augment(specs, mask=0.2, replace=0.3, span=0.5), fed(texts, specs), drawn(4, specs)
    together = change(inputs, made)
    for row in range(4):
        alone = change({name: each[row : row + 1] for name, each in inputs.items()}, made[row : row + 1])
        for name, each in alone.items():
            assert torch.equal(each[0], together[name][row])
    assert together["pieces"][2].tolist()[:3] == [2, 3, 0]  # a text without words has none to change
    apart = augment(specs[:1], mask=0.2)({"ids": inputs["ids"]}, made)
    assert torch.equal(apart["ids"], augment(specs, mask=0.2)(inputs, made)["ids"])


def test_without_any_word_of_one_piece_nothing_is_replaced() -> None:
    specs = specify(accepted(["once upon", "another time"]))
    inputs = fed(["once", "more"], specs)
    found = augment(specs, replace=0.99)(inputs, drawn(2, specs))
    assert torch.equal(found["ids"], inputs["ids"])
