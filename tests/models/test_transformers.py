"""Networks of Hugging Face's transformers: whose weights they have, what does not fit, where they are found."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgekd.errors import ConfigError
from edgekd.models.pretrained import Classifier, Headed, Pretrained
from edgekd.records.contract import ModelContract
from edgekd.training.network import build_network
from edgekd.training.replicas import obstacle

from .text_contracts import FULL, MINI_LM, mini_lm, model, save_bert, some, text_contract

IDS = torch.zeros(3, 12, dtype=torch.int32)


def network_of(folder: Path, contract: ModelContract | None = None, **options: Any) -> Pretrained:
    made = model("transformers", name=str(folder), **options)
    network = build_network(made, contract or text_contract(), 0)
    assert isinstance(network, Pretrained)
    return network


def pieces(lengths: list[int] | None = None) -> Tensor:
    return some(lengths or [12, 5, 1], 12, len(FULL), seed=1)


def test_an_encoder_is_that_of_the_library_with_weights_of_float32_and_a_head(tmp_path: Path) -> None:
    from transformers import BertModel

    folder = save_bert(tmp_path / "bert")
    network, theirs = network_of(folder), BertModel.from_pretrained(folder, dtype=torch.float32).eval()  # type: ignore[no-untyped-call]
    assert isinstance(network, Headed)
    assert {each.dtype for each in network.parameters()} == {torch.float32}
    text = pieces()
    with torch.no_grad():
        said = theirs(input_ids=text, attention_mask=(text != 0).long()).last_hidden_state
        means = torch.stack([said[row, :length].mean(0) for row, length in enumerate((12, 5, 1))])
        assert torch.allclose(network(IDS, text), network.head(means), atol=1e-5)
        first = network_of(folder, pooling="first")
        assert isinstance(first, Headed)
        assert torch.allclose(first(IDS, text), first.head(said[:, 0]), atol=1e-5)


def test_a_classifier_with_as_many_classes_keeps_its_own_head(tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    folder = save_bert(tmp_path / "bert", classes=3)
    theirs = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()  # type: ignore[no-untyped-call]
    text = pieces()
    with torch.no_grad():
        expected = theirs(input_ids=text, attention_mask=(text != 0).long()).logits
        network = network_of(folder)
        assert isinstance(network, Classifier)
        assert torch.allclose(network(IDS, text), expected, atol=1e-5)
    assert isinstance(network_of(folder, text_contract(classes=("a", "b"))), Headed)


def test_the_outputs_of_a_classifier_are_those_of_the_classes_with_their_names(tmp_path: Path) -> None:
    names = {0: "neither", 1: "bad", 2: "good"}
    folder = save_bert(tmp_path / "bert", classes=3, id2label=names, label2id={each: at for at, each in names.items()})
    text = pieces()
    with torch.no_grad():
        by_name = network_of(folder)(IDS, text)  # bad, good, neither
        by_number = network_of(folder, text_contract(classes=("a", "b", "c")))(IDS, text)
    assert torch.equal(by_name, by_number[:, [1, 2, 0]])


def test_dropout_is_in_training_only_and_what_is_asked_for(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "bert")
    network = network_of(folder)
    kinds = [each.p for each in network.modules() if isinstance(each, torch.nn.Dropout)]
    assert set(kinds) == {0.1}
    text = pieces()
    with torch.no_grad():
        assert torch.equal(network(IDS, text), network(IDS, text))
        assert not torch.equal(network.train()(IDS, text), network(IDS, text))
        still = network_of(folder, dropout=0).train()
        assert torch.equal(still(IDS, text), still(IDS, text))
    for each in (still, network):  # either can be trained in shards
        assert obstacle(each, [IDS, text]) is None


@pytest.mark.parametrize(("freeze", "stay"), [("none", 0), ("embeddings", 1), ("encoder", 99)])
def test_what_is_frozen_does_not_learn_and_a_frozen_encoder_says_the_same_in_training(
    tmp_path: Path, freeze: str, stay: int
) -> None:
    network = network_of(save_bert(tmp_path / "bert"), freeze=freeze, dropout=0.3).train()
    frozen = {name for name, each in network.named_parameters() if not each.requires_grad}
    encoder = {f"network.{name}" for name, _ in network.network.named_parameters()}
    tables = {"network.embeddings.word_embeddings.weight"}
    assert frozen == {0: set(), 1: tables, 99: encoder}[stay]
    text = pieces()
    same = torch.equal(network.outputs(text), network.outputs(text))
    assert same == (freeze == "encoder")
    network(IDS, text).sum().backward()
    assert {name for name, each in network.named_parameters() if each.grad is None} == frozen


def test_training_in_bfloat16_works(tmp_path: Path) -> None:
    network = network_of(save_bert(tmp_path / "bert")).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(IDS, pieces()).float().square().mean()
    loss.backward()
    assert all(each.grad is not None and torch.isfinite(each.grad).all() for each in network.parameters())


def test_a_moved_folder_is_the_same_network_and_other_weights_are_another(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "bert")
    shutil.copytree(folder, tmp_path / "elsewhere" / "moved")
    known = model("transformers", name=str(folder)).identity()
    assert model("transformers", name="elsewhere/moved", folder=tmp_path).identity() == known
    assert model("transformers", name=str(folder), pooling="first").identity() != known
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, next(iter(weights)): next(iter(weights.values())) + 1}, folder / "model.safetensors")
    assert model("transformers", name=str(folder)).identity() != known


def test_a_folder_is_looked_for_beside_the_file_and_then_where_data_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bert(tmp_path / "data" / "models" / "bert")
    save_bert(tmp_path / "here" / "models" / "bert", classes=3)
    monkeypatch.setenv("EDGEKD_DATA", str(tmp_path / "data"))
    for folder, kind in ((tmp_path, Headed), (tmp_path / "here", Classifier)):
        made = model("transformers", name="models/bert", folder=folder)
        assert isinstance(build_network(made, text_contract(), 0), kind)


def empty(folder: Path) -> None:
    folder.mkdir()


def without_weights(folder: Path) -> None:
    save_bert(folder)
    (folder / "model.safetensors").unlink()


def a_file(folder: Path) -> None:
    folder.write_text("weights")


@pytest.mark.parametrize(
    ("make", "words"),
    [(empty, "holds no config.json with weights"), (without_weights, "holds no config.json"), (a_file, "is a file")],
)
def test_a_folder_that_is_no_networks_is_refused_where_it_is_named(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    make(tmp_path / "given")
    with pytest.raises(ValidationError, match=words):
        model("transformers", name="given", folder=tmp_path)


@pytest.mark.parametrize("name", ["./models/none", "/models/none", "a/b/c", "../none", "a--b", ""])
def test_what_is_neither_a_folder_nor_a_name_of_the_hub_is_no_such_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValidationError, match="no such folder|is a file|holds no config"):
        model("transformers", name=name, folder=tmp_path)


def cut_off(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def unknown_kind(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "of_tomorrow"}')


def too_few(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: each for name, each in weights.items() if "layer.1." not in name}, folder / "model.safetensors")


@pytest.mark.parametrize("spoil", [cut_off, no_json, unknown_kind, too_few])
def test_weights_that_cannot_be_loaded_are_refused_in_one_line(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    folder = save_bert(tmp_path / "bert")
    spoil(folder)
    with pytest.raises(ConfigError) as caught:
        network_of(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert "config.json" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "words", "hint"),
    [
        (text_contract(pieces=None), "reads the pieces of words that it was trained with", "vocab.txt"),
        (
            text_contract(pieces=FULL[:-1]),
            "trained with a vocabulary of 18 pieces, the one of the data has 17",
            "vocab",
        ),
        (text_contract(65), "takes texts of at most 64 pieces, those of the data have up to 65", "pieces_length: 64"),
    ],
)
def test_pieces_that_do_not_fit_are_refused_with_what_to_do(
    tmp_path: Path, given: ModelContract, words: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        network_of(save_bert(tmp_path / "bert"), given)
    assert caught.value.hint
    assert hint in caught.value.hint


def test_a_network_that_fills_up_with_another_piece_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fills texts up with the piece 1, which here is always 0"):
        network_of(save_bert(tmp_path / "bert", pad_token_id=1))


OFFLINE = """
import socket
def closed(*_args, **_options): raise OSError("no network here")
socket.socket.connect = closed
socket.getaddrinfo = closed
from edgekd.errors import ConfigError
from edgekd.models.transformers import TransformersModel
try:
    TransformersModel(use="transformers", name="someone/something").identity()
except ConfigError as error:
    print(error); print(error.hint)
"""


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_name_of_the_hub_without_network_says_where_to_put_the_files(tmp_path: Path, offline: str) -> None:
    settings = {
        "HF_HUB_OFFLINE": offline,
        "HF_HOME": str(tmp_path),
        "EDGEKD_DATA": str(tmp_path),
        "HOME": str(tmp_path),
    }
    run = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        check=True, capture_output=True, text=True, cwd=tmp_path, timeout=60,
        env={**settings, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    error, hint = run.stdout.splitlines()
    assert error.startswith(f"there is no folder someone/something, {tmp_path / 'hub'} does not hold it, and the hub")
    assert ("HF_HUB_OFFLINE is set" in error) == (offline == "1")
    assert "hf download someone/something --local-dir FOLDER" in hint
    assert not run.stderr


def test_a_network_of_the_hub_that_is_in_its_cache_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    folder = save_bert(tmp_path / "snapshot")
    asked: list[dict[str, Any]] = []

    def cached(name: str, **options: Any) -> str:
        asked.append({"name": name, **options})
        return str(folder)

    def closed(*_arguments: object) -> NoReturn:
        raise OSError("no network here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", cached)
    monkeypatch.setattr(socket.socket, "connect", closed)
    monkeypatch.chdir(tmp_path)
    made = model("transformers", name="someone/something")
    assert isinstance(build_network(made, text_contract(), 0), Headed)
    assert made.identity() != model("transformers", name=str(save_bert(tmp_path / "other", classes=2))).identity()
    assert [(each["name"], each["local_files_only"]) for each in asked] == [("someone/something", True)]


def test_without_the_library_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = model("transformers", name=str(save_bert(tmp_path / "bert")))
    monkeypatch.setattr("edgekd.models.weights_folder.missing", lambda _: "python -m pip install 'edgekd[text]'")
    with pytest.raises(ConfigError, match="needs the library transformers, which is not installed") as caught:
        made.build(text_contract())
    assert caught.value.hint == "python -m pip install 'edgekd[text]'"


def test_nothing_is_said_while_it_is_loaded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = save_bert(tmp_path / "bert")
    capfd.readouterr()
    network_of(folder)
    assert capfd.readouterr() == ("", "")


def test_the_real_weights_say_what_they_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences of like meaning are near, by the mean of the outputs, as its authors use it."""
    from transformers import AutoTokenizer

    folder = mini_lm()
    vocabulary = tuple((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    contract = text_contract(24, pieces=vocabulary)
    network = build_network(model("transformers", name=str(MINI_LM)), contract, 0)
    assert isinstance(network, Headed)
    read = AutoTokenizer.from_pretrained(folder)
    sentences = ["How old are you?", "What is your age?", "The cake is in the oven.", "A cat sleeps on the mat."]
    filled = read(sentences, padding="max_length", max_length=24, return_tensors="pt")["input_ids"].int()
    seen: list[Tensor] = []
    network.head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        network(torch.zeros(4, 24, dtype=torch.int32), filled)
    alike = np.corrcoef(seen[0].numpy())
    assert alike[0, 1] > 0.75
    assert alike[np.triu_indices(4, 1)][1:].max() < 0.3


@pytest.mark.parametrize("classifies", [False, True])
@pytest.mark.parametrize("kind", ["distilbert", "electra", "albert", "mobilebert"])
def test_encoders_of_other_kinds_are_loaded_and_learn(tmp_path: Path, kind: str, classifies: bool) -> None:
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    sizes: dict[str, Any] = {"vocab_size": len(FULL), "hidden_size": 16, "num_attention_heads": 2, "num_labels": 3}
    sizes |= {"num_hidden_layers": 1, "pad_token_id": 0, "embedding_size": 16, "intermediate_size": 32}
    if kind == "mobilebert":
        sizes |= {"true_hidden_size": 16, "intra_bottleneck_size": 16}
    torch.manual_seed(0)
    settings = AutoConfig.for_model(kind, **sizes)
    made = AutoModelForSequenceClassification if classifies else AutoModel
    made.from_config(settings).save_pretrained(tmp_path / kind)  # type: ignore[no-untyped-call]
    network = network_of(tmp_path / kind).train()
    assert isinstance(network, Classifier if classifies else Headed)
    network(IDS, pieces()).square().sum().backward()
    assert all(each.grad is not None for each in network.parameters()), "some weights can never learn"
    short, long = pieces([5, 3])[:, :5], pieces([5, 3])
    with torch.no_grad():
        assert torch.allclose(network.eval().answer(short), network.answer(long), atol=1e-6)
