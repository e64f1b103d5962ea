# ruff: noqa: E501 - a table reads better with one case a line
"""Every wrong pipeline file gets its one clear line: where, what, and a hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.config.component import identity
from edgekd.config.pipeline import PipelineConfig, load_pipeline
from edgekd.errors import ConfigError, UsageError

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = sorted((REPOSITORY / "pipelines").glob("*.yaml"))

GOOD = """\
name: small
seed: 3
data: {use: digits, validation: 0.2}
teacher:
  model: {use: conv, width: 16}
  epochs: 2
  learning_rate: 1e-3
student:
  model: conv
distill:
  epochs: 2
  temperature: 4
  losses:
    - use: cross_entropy
      weight: 0.1
    - {use: kd, weight: 0.9}
quantize: {candidates: [fp32, int8_qdq]}
targets:
  - here.yaml
release: {max_accuracy_drop: 0.02}
"""
TARGET = "name: here\ndevice: local\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here.yaml").write_text(TARGET)
    return tmp_path


def refused(folder: Path, text: str, **kwargs: object) -> tuple[str, str]:
    """The error's line, without the folder, and its hint."""
    path = folder / "p.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    assert caught.value.exit_code == 2
    line = str(caught.value)
    assert "\n" not in line
    return line.replace(f"{folder}/", ""), caught.value.hint or ""


def test_a_good_file_is_read_with_its_defaults(folder: Path) -> None:
    (folder / "p.yaml").write_text(GOOD)
    config = load_pipeline(folder / "p.yaml").config
    assert (config.name, config.seed, config.teacher.epochs) == ("small", 3, 2)
    assert config.teacher.learning_rate == 1e-3, "YAML 1.1 takes 1e-3 for text"
    assert config.student.model.use == "conv"
    assert [loss.use for loss in config.distill.losses] == ["cross_entropy", "kd"]
    assert config.export.opset == 18


@pytest.mark.parametrize(
    ("before", "after", "line", "hint"),
    [
        ("name: small", "nmae: small", "p.yaml:1: nmae: unknown key", "did you mean 'name'?"),
        ("  epochs: 2\n  learning", "  epoch: 2\n  learning", "p.yaml:6: teacher.epoch: unknown key", "did you mean 'epochs'?"),
        ("seed: 3", "seed: three", "p.yaml:2: seed: expected a whole number, found 'three'", ""),
        ("seed: 3", "seed: true", "p.yaml:2: seed: expected a whole number, found True", ""),
        ("seed: 3", "seed: 1:30", "p.yaml:2: seed: expected a whole number, found '1:30'", ""),
        ("seed: 3", "seed: 4294967296", "p.yaml:2: seed: input should be less than 4294967296, found 4294967296", ""),
        ("seed: 3", "seed: 4294967294\nseeds: 3", "p.yaml:3: seeds: the last of 3 from 4294967294 on is 4294967296, and no seed is above 4294967295", "`seed` up to 4294967293"),
        ("temperature: 4", "temperature: .inf", "p.yaml:12: distill.temperature: input should be a finite number, found inf", ""),
        ("epochs: 2\n  temp", "epochs: -2\n  temp", "p.yaml:11: distill.epochs: input should be greater than or equal to 1, found -2", ""),
        ("temperature: 4", "temperature: 0", "p.yaml:12: distill.temperature: input should be greater than 0, found 0", ""),
        ("temperature: 4", "temperature: .nan", "p.yaml:12: distill.temperature: input should be a finite number, found nan", ""),
        ("use: digits", "use: digit", "p.yaml:3: data: unknown dataset 'digit'", "did you mean 'digits'?"),
        ("use: conv", "use: cnov", "p.yaml:5: teacher.model: unknown model 'cnov'", "did you mean 'conv'?"),
        ("model: conv", "model: vgg", "p.yaml:9: student.model: unknown model 'vgg'", "one of airbench, bc_resnet, conv, ds_cnn, ds_resnet, mlp, resnet, text_cnn, text_ngrams, text_transformer, torchvision, transformers"),
        ("use: kd", "use: kdd", "p.yaml:16: distill.losses.1: unknown loss 'kdd'", "did you mean 'kd'?"),
        ("width: 16", "widht: 16", "p.yaml:5: teacher.model.widht: unknown key", "did you mean 'width'?"),
        ("weight: 0.1", "weight: heavy", "p.yaml:15: distill.losses.0.weight: expected a number, found 'heavy'", ""),
        ("int8_qdq", "int4_static", "p.yaml:17: quantize.candidates.1: unknown quantization scheme 'int4_static'", "one of fp16_weights, fp32, int8_qdq, int8_qoperator, int8_weights"),
        ("[fp32, int8_qdq]", "fast", "p.yaml:17: quantize.candidates: expected a list of schemes, or auto", "edgekd list schemes"),
        ("  epochs: 2\n  learning", "  learning", "p.yaml:4: teacher.epochs: is missing", "how many passes"),
        ("  model: {use: conv, width: 16}\n", "", "p.yaml:4: teacher.model: is missing", "edgekd list models"),
        ("temperature: 4", "temperature: {use: linaer}", "p.yaml:12: distill.temperature: unknown temperature 'linaer'", "did you mean 'linear'?"),
        ("temperature: 4", "temperature: true", "p.yaml:12: distill.temperature: expected a number, or `use: NAME` and its options", ""),
        ("here.yaml", "there.yaml", "p.yaml:19: targets.0: no such file: there.yaml", "here.yaml"),
        ("  epochs: 2\n  learning", "  epochs: 0\n  learning", "p.yaml:6: teacher.epochs: 0 needs a checkpoint to load", "teacher.checkpoint"),
        ("  epochs: 2\n  learning", "  checkpoint: w.safetensors\n  epochs: 0\n  learning", "p.yaml:6: teacher.checkpoint: no such file: w.safetensors", ""),
        ("model: conv", "model: {use: own.py:build}", "p.yaml:9: student.model: no such file: @/own.py", ""),
        ("seed: 3", "seed: 3\nseed: 4", "p.yaml:3: the key 'seed' stands twice", ""),
        ("seed: 3", "seed: [3", "p.yaml:3: not YAML", ""),
        ("seed: 3", "seed: !!python/object/apply:os.system ['true']", "p.yaml:2: the tag '!!python/object/apply:os.system' would construct an object", "file.py:callable"),
        ("seed: 3", "seed: !own 3", "p.yaml:2: the tag '!own' would construct an object", ""),
        ("teacher:\n", "teacher: 3\nx:\n", "p.yaml:4: teacher: expected keys with values, found 3", ""),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_in_one_line(folder: Path, before: str, after: str, line: str, hint: str) -> None:
    assert before in GOOD
    found, found_hint = refused(folder, GOOD.replace(before, after, 1))
    assert found.startswith(line.replace("@/", "")), found
    assert hint in found_hint


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "p.yaml:1: the file is empty"),
        ("# only a comment\n", "p.yaml:1: the file is empty"),
        ("- a\n- b\n", "p.yaml:1: expected keys with values, found a list"),
        ("just words", "p.yaml:1: expected keys with values, found the value 'just words'"),
    ],
)
def test_what_is_no_pipeline_is_refused(folder: Path, text: str, line: str) -> None:
    assert refused(folder, text)[0].startswith(line)


def test_the_last_seed_that_there_is_can_be_the_last_of_several(folder: Path) -> None:
    (folder / "p.yaml").write_text(GOOD)
    assert load_pipeline(folder / "p.yaml", assignments=["seeds=3"], seed=2**32 - 3).config.seeds == 3
    with pytest.raises(ConfigError, match="^--set: seeds: the last of 3 from 4294967294 on is 4294967296"):
        load_pipeline(folder / "p.yaml", assignments=["seeds=3"], seed=2**32 - 2)


def test_every_error_of_a_file_is_told_in_its_order(folder: Path) -> None:
    (folder / "p.yaml").write_text(GOOD.replace("seed: 3", "seed: x").replace("weight: 0.1", "wieght: 0.1"))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(folder / "p.yaml")
    lines = [str(each).rpartition("/")[2] for each in (caught.value, *caught.value.others)]
    assert lines == [
        "p.yaml:2: seed: expected a whole number, found 'x'",
        "p.yaml:15: distill.losses.0.wieght: unknown key",
    ]


def test_a_mistyped_key_is_told_and_not_what_it_leaves_missing(folder: Path) -> None:
    (folder / "p.yaml").write_text(
        GOOD.replace("distill:", "distil:").replace("  epochs: 2\n  temp", "  epochs: 0\n  temp")
    )
    with pytest.raises(ConfigError) as caught:
        load_pipeline(folder / "p.yaml")
    assert caught.value.what == "distil: unknown key"
    assert caught.value.hint == "did you mean 'distill'?"
    assert not caught.value.others


def test_missing_binary_and_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    for name, what in (("b.yaml", "no such file"), ("binary.yaml", "not a text file"), (".", "is a folder")):
        with pytest.raises(ConfigError, match=what):
            load_pipeline(tmp_path / name)


def test_set_changes_one_value_and_is_checked_as_the_file_is(folder: Path) -> None:
    path = folder / "p.yaml"
    path.write_text(GOOD)
    config = load_pipeline(path, assignments=["distill.temperature=6", "distill.losses.1.weight=0.5"], seed=9).config
    assert config.distill.temperature.model_dump() == {"use": "fixed", "value": 6}
    assert [loss.model_dump()["weight"] for loss in config.distill.losses] == [0.1, 0.5]
    assert config.seed == 9
    assert load_pipeline(path, assignments=["export.opset=20"]).config.export.opset == 20, "a section the file lacks"
    for wrong in ("distill.temprature=6", "distill.losses.7.weight=1", "name.x=1", "distill.temperature=[", "seed=-1"):
        with pytest.raises(ConfigError):
            load_pipeline(path, assignments=[wrong])
    with pytest.raises(UsageError, match="expected key=value"):
        load_pipeline(path, assignments=["distill.temperature"])


def test_a_wrong_value_of_the_command_line_is_named_by_its_option(folder: Path) -> None:
    path = folder / "p.yaml"
    path.write_text(GOOD)
    with pytest.raises(ConfigError, match="input should be greater than 0, found 0") as caught:
        load_pipeline(path, assignments=["distill.temperature=0"])
    assert caught.value.where == "--set", "the file says another value"
    assert caught.value.what.startswith("distill.temperature: ")


def test_comments_and_the_order_of_keys_do_not_change_what_decides_results(folder: Path) -> None:
    (folder / "a.yaml").write_text(GOOD)
    (folder / "b.yaml").write_text(
        "# a comment\n" + GOOD.replace("  epochs: 2\n  temperature: 4\n", "  temperature: 4.0  # warm\n  epochs: 2\n")
    )
    a, b = (load_pipeline(folder / name).config for name in ("a.yaml", "b.yaml"))
    assert identity(a.distill) == identity(b.distill)


def test_a_users_own_file_decides_results_by_its_content(folder: Path) -> None:
    (folder / "own.py").write_text("def build(contract, width=3):\n    return None\n")
    (folder / "p.yaml").write_text(GOOD.replace("model: conv", "model: {use: own.py:build, width: 4}"))
    before = load_pipeline(folder / "p.yaml").config.student.model.identity()
    (folder / "own.py").write_text("def build(contract, width=3):\n    return 1\n")
    after = load_pipeline(folder / "p.yaml").config.student.model.identity()
    assert before != after
    assert str(folder) not in str(before)


def test_a_checkpoint_decides_results_by_its_content(folder: Path) -> None:
    (folder / "w.safetensors").write_bytes(b"one")
    (folder / "p.yaml").write_text(
        GOOD.replace("  epochs: 2\n  learning", "  epochs: 0\n  checkpoint: w.safetensors\n  learning")
    )
    before = identity(load_pipeline(folder / "p.yaml").config.teacher)
    (folder / "w.safetensors").write_bytes(b"two")
    assert identity(load_pipeline(folder / "p.yaml").config.teacher) != before


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_pipeline_is_right_and_names_its_schema(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cifar10-png.tar").touch()  # what they name of a user's own
    weights = tmp_path / "models/all-MiniLM-L6-v2"
    weights.mkdir(parents=True)
    (weights / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    for name in ("config.json", "model.safetensors"):
        (weights / name).touch()
    monkeypatch.setenv("EDGEKD_DATA", str(tmp_path))
    loaded = load_pipeline(path)
    assert loaded.config.name == path.stem
    assert path.read_text().startswith("# yaml-language-server: $schema=")


def test_the_schema_describes_every_option(folder: Path) -> None:
    schema = PipelineConfig.model_json_schema()
    models = schema["$defs"]["StudentSection"]["properties"]["model"]["anyOf"]
    conv = next(each for each in models if each["properties"]["use"].get("const") == "conv")
    assert conv["properties"]["width"]["description"]
    assert conv["additionalProperties"] is False
    assert schema["properties"]["name"]["description"]
