"""Texts from lines in a file to a bundle that answers lines, through the real command: a small transformer teaches."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgekd.models.silence import silent
from tests.command import Place, place_with

GOOD, BAD = ("fine", "great", "lovely", "bright"), ("dull", "awful", "grey", "broken")
OTHERS = ("the", "a", "film", "story", "with", "and", "of", "some", "people", "who", "talk", "street")
UNSEEN = "ünknown"

PIPELINE = """\
name: small
data:
  use: text
  train: train.txt
  test: test.csv
  validation: 0.2
  tokenizer: {vocabulary: bert, size: 40}
teacher:
  model: {use: transformers, name: bert, dropout: 0}
  epochs: 6
  batch_size: 32
  learning_rate: 0.002
student:
  model: {use: text_cnn, embedding_width: 8, channels: 8, kernels: [1, 2], dropout: 0.1}
  start: {use: token_table, network: teacher}
distill:
  transfer: {use: text, train: more.txt, label: null}
  epochs: 12
  views: 3
  batch_size: 32
  learning_rate: 0.01
  augment: {mask: 0.1, span: 0.1}
  losses: [{use: kd}]
quantize: {candidates: [fp32, int8_weights, int8_qdq], max_accuracy_drop: 0.2}
targets: [here.yaml]
release: {min_accuracy: 0.8}
"""


def sentence(drawn: random.Random, words: tuple[str, ...]) -> str:
    found = [*drawn.choices(OTHERS, k=drawn.randint(2, 9)), drawn.choice(words)]
    drawn.shuffle(found)
    return " ".join(found)


def tiny_bert(folder: Path) -> None:
    """A transformer of random weights, with its pieces, as Hugging Face's library saves one."""
    from transformers import BertConfig, BertModel

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *OTHERS, *"abcdefghijklmnopqrstuvwxyz", "##n"]
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    with silent():
        BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{each}\n" for each in pieces))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Place:
    import torch

    folder, drawn = tmp_path_factory.mktemp("texts"), random.Random(0)
    torch.manual_seed(0)
    tiny_bert(folder / "bert")
    lines = [(label, sentence(drawn, words)) for _ in range(250) for label, words in (("good", GOOD), ("bad", BAD))]
    (folder / "train.txt").write_text("".join(f"{label} {text}\n" for label, text in lines[:400]))
    rows = "".join(f'{label},"{text}, {UNSEEN}"\n' for label, text in lines[400:])
    (folder / "test.csv").write_text(f"label,text\n{rows}", encoding="utf-8")
    more = [sentence(drawn, drawn.choice((GOOD, BAD))) for _ in range(200)]
    (folder / "more.txt").write_text("".join(f"{text}\n" for text in more))
    place = place_with(folder, PIPELINE)
    run = place.edgekd("run", "p.yaml")
    assert run.returncode == 0, run.stdout + run.stderr
    (folder / "output").write_text(run.stdout)
    return place


def test_texts_become_a_bundle_whose_own_program_answers_lines(ran: Place, tmp_path: Path) -> None:
    (bundle,) = ran.folder.glob("runs/*/*/bundle")
    (tmp_path / "lines.txt").write_text(f"a great story of {UNSEEN}\nthe film with awful people\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", bundle / "predict.py", tmp_path / "lines.txt"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[1] for line in done.stdout.splitlines()] == ["good", "bad"]
    verified = ran.edgekd("verify", bundle)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_bundles_program_makes_of_a_text_what_training_made(ran: Place) -> None:
    """The golden answers are of the target; here the program's own tokenizer and a session of its own give them."""
    (bundle,) = ran.folder.glob("runs/*/*/bundle")
    program = (
        "import sys, pathlib, numpy as np; folder = pathlib.Path(sys.argv[1]); sys.path.insert(0, str(folder)); "
        "import predict; manifest = predict.load_manifest(folder); "
        "model = predict.Model(folder, manifest, None, predict.load_parts(folder)); "
        "(shipped,) = manifest['models'].values(); "
        "expected = np.load(folder / shipped['golden']['logits']); "
        "found = model.logits(np.load(folder / manifest['golden_samples'])); "
        "assert found.shape == expected.shape and len(found) > 10, found.shape; "
        "print(np.abs(found - expected).max(), np.ptp(expected))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, bundle], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    off, spread = map(float, done.stdout.split())
    assert off < 1e-4 * spread


def test_what_ships_reads_one_input_and_is_measured_as_long_as_most_texts_are(ran: Place) -> None:
    record = ran.last_run()
    latency = record["records"]["latency"]["here"]
    assert set(latency["lengths"]) == {"ids", "pieces"}
    assert 3 <= latency["lengths"]["ids"] <= latency["lengths"]["pieces"] <= 14
    (bundle,) = ran.folder.glob("runs/*/*/bundle")
    card = (bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| input | `ids`: int32 (N, " in card
    assert "pieces`:" not in card
    assert "times: of inputs as long as 90 % of the validation samples need" in (ran.folder / "output").read_text()


def test_the_student_begins_with_what_the_teacher_says_of_words(ran: Place) -> None:
    record = ran.last_run()
    (student,) = [each for each in record["stages"] if each["id"] == "train@student"]
    assert "teacher" in student["headline"]
    assert record["records"]["network"]["student"]["started_from"]["tensors"] >= 1


def test_a_second_run_does_nothing_again(ran: Place) -> None:
    again = ran.edgekd("run", "p.yaml")
    assert again.returncode == 0
    assert {each["state"] for each in ran.last_run()["stages"]} == {"cached"}


def test_a_line_that_is_not_utf8_is_told_by_file_line_and_byte(ran: Place, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"good a fine day\nbad \xff day\n")
    (tmp_path / "test.csv").write_text("label,text\ngood,fine\nbad,dull\n")
    (tmp_path / "more.txt").write_text("a bright day\n")
    place = place_with(tmp_path, PIPELINE.replace("bert", str(ran.folder / "bert")))
    done = place.edgekd("run", "p.yaml", "--until", "data")
    assert done.returncode == 2
    assert "train.txt:2:" in done.stderr
    assert "0xff" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_zip_of_the_bundle_holds_the_vocabulary_once(ran: Place) -> None:
    record = ran.last_run()
    with zipfile.ZipFile(ran.stored(record, "release", "bundle")) as archive:
        manifest = archive.read("manifest.json").decode()
    assert manifest.count('"##n"') <= 1
    assert np.char.count(manifest, '"vocabulary"') == 1


def test_a_bundle_is_measured_again_at_the_usual_length_of_its_golden_samples(ran: Place) -> None:
    bundle = next(ran.folder.glob("runs/*/*/bundle"))
    done = ran.edgekd("bench", bundle, "--seconds", "2", "--end-to-end")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "end to end" in done.stdout
    checked = ran.edgekd("check", bundle, "--target", "here.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_layers_along_a_text_are_compared_whatever_the_lengths_of_the_batches(ran: Place, tmp_path: Path) -> None:
    """Each shard and each part of a recording would be cut to its own longest text."""
    for name in ("train.txt", "test.csv", "more.txt"):
        (tmp_path / name).write_bytes((ran.folder / name).read_bytes())
    losses = "losses: [{use: kd}, {use: sp, student: table, teacher: network.embeddings, weight: 10}]"
    pipeline = PIPELINE.replace("bert", str(ran.folder / "bert")).replace("losses: [{use: kd}]", losses)
    place = place_with(tmp_path, pipeline.replace("epochs: 12", "epochs: 2"))
    done = place.edgekd("run", "p.yaml", "--until", "train", "--set", "distill.shards=2")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_shape_is_not_searched_for_texts(ran: Place, tmp_path: Path) -> None:
    for name in ("train.txt", "test.csv", "more.txt"):
        (tmp_path / name).write_bytes((ran.folder / name).read_bytes())
    place = place_with(tmp_path, PIPELINE.replace("bert", str(ran.folder / "bert")) + "fit: {budget: {p50_ms: 5}}\n")
    done = place.edgekd("fit", "p.yaml")
    assert done.returncode == 2
    assert "fit: shapes are searched for inputs of one size, and those of text vary in length" in done.stderr
