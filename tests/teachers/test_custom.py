from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import ConfigError
from edgekd.teachers.custom import UserTeacher

from .conftest import CONTRACT, feeds


def teacher(tmp_path: Path, code: str, **options: object) -> UserTeacher:
    (tmp_path / "mine.py").write_text(f"import numpy as np\n{code}")
    return UserTeacher.model_validate(
        {"use": "mine.py:mine", "use_group": "teachers", "use_folder": tmp_path, **options}
    )


def test_a_function_of_the_users_teaches(tmp_path: Path) -> None:
    code = "def mine(feeds, factor):\n    return factor * feeds['image'].reshape(len(feeds['image']), -1)[:, :4]\n"
    answer = teacher(tmp_path, code, factor=3).open(CONTRACT)(feeds())
    assert answer.dtype == np.float32
    assert answer == pytest.approx(3 * feeds()["image"].reshape(5, -1)[:, :4])


def test_a_class_of_the_users_is_made_once(tmp_path: Path) -> None:
    code = """
class mine:
    made = 0
    def __init__(self, value):
        mine.made += 1
        self.value = value
    def __call__(self, feeds):
        return np.full((len(feeds["image"]), 4), self.value * mine.made)
"""
    answerer = teacher(tmp_path, code, value=7).open(CONTRACT)
    assert (answerer(feeds()) == 7).all()
    assert (answerer(feeds()) == 7).all()


def test_it_is_no_file_that_can_be_measured(tmp_path: Path) -> None:
    assert teacher(tmp_path, "def mine(feeds):\n    return None\n").model_file is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("np.zeros((5, 3))", r"answered 5 samples with float64 \(5, 3\), expected logits of shape \(5, 4\)$"),
        ("np.zeros((4, 4))", r"answered 5 samples with float64 \(4, 4\), expected"),
        ("np.zeros(5)", r"answered 5 samples with float64 \(5,\), expected"),
        ("None", r"answered 5 samples with object \(\), expected"),
        ("np.full((5, 4), 'a')", r"answered 5 samples with <U1 \(5, 4\), expected"),
        ("np.log(np.eye(4)[[0, 1, 2, 3, 0]])", "answered with a number that is not finite$"),
        ("np.full((5, 4), np.nan)", "answered with a number that is not finite$"),
        ("np.full((5, 4), 1e300)", "answered with a number that is not finite$"),
        ("np.full((5, 4), 0.25)", "answers with probabilities, expected logits$"),
        ("np.eye(4)[[0, 1, 2, 3, 0]]", "answers with probabilities, expected logits$"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_answer_that_is_none_is_refused_and_said(tmp_path: Path, value: str, words: str) -> None:
    answerer = teacher(tmp_path, f"def mine(feeds):\n    return {value}\n").open(CONTRACT)
    with pytest.raises(ConfigError, match=rf"^mine.py:mine {words}"):
        answerer(feeds())


def test_whole_numbers_are_logits_too(tmp_path: Path) -> None:
    code = "def mine(feeds):\n    return np.arange(20).reshape(5, 4)\n"
    assert teacher(tmp_path, code).open(CONTRACT)(feeds()).ravel().tolist() == list(range(20))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[[1, 2, 3, 4], [1]]", "answered with list, which is no array: setting an array element with a sequence"),
        ("torch.ones(5, 4, requires_grad=True)", "answered with Tensor, which is no array: Can't call numpy"),
    ],
)
def test_an_answer_that_is_no_array_is_refused_in_one_line(tmp_path: Path, value: str, words: str) -> None:
    answerer = teacher(tmp_path, f"import torch\ndef mine(feeds):\n    return {value}\n").open(CONTRACT)
    with pytest.raises(ConfigError, match=f"^mine.py:mine {words}") as error:
        answerer(feeds())
    assert "\n" not in error.value.what
    assert "detach().numpy()" in str(error.value.hint)


RAISES = "raise ValueError('this\\nand that')"


@pytest.mark.parametrize(
    ("code", "line", "what"),
    [
        (f"def mine(feeds):\n    {RAISES}\n", 3, "ValueError: this"),
        (f"def mine(feeds):\n    return two(feeds)\ndef two(feeds):\n    {RAISES}\n", 5, "ValueError: this"),
        ("def mine(feeds):\n    return feeds['photo']\n", 3, "KeyError: 'photo'"),
        ("def mine(feeds):\n    return np.zeros(3).reshape(2, 2)\n", 3, "ValueError: cannot reshape array"),
        ("def mine(feeds):\n    assert False\n", 3, "AssertionError"),
        ("def mine():\n    return 0\n", 1, r"TypeError: mine\(\) takes 0 positional arguments but 1 was given"),
        (f"class mine:\n    def __init__(self):\n        {RAISES}\n", 4, "ValueError: this"),
        (f"class mine:\n    def __call__(self, feeds):\n        {RAISES}\n", 4, "ValueError: this"),
    ],
)
def test_a_failure_of_the_users_code_is_one_line_with_the_line_of_the_code(
    tmp_path: Path, code: str, line: int, what: str
) -> None:
    with pytest.raises(ConfigError, match=f": mine.py:mine failed: {what}") as error:
        teacher(tmp_path, code).open(CONTRACT)(feeds())
    assert error.value.where == f"{tmp_path}/mine.py:{line}"
    assert "\n" not in error.value.what
    assert error.value.hint


def test_a_callable_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no callable named 'mine'"):
        teacher(tmp_path, "yours = 1\n").open(CONTRACT)


def test_of_an_answer_that_is_an_object_its_logits_count(tmp_path: Path) -> None:
    code = """
class Output:
    def __init__(self, logits):
        self.loss, self.logits = None, logits

def mine(feeds):
    return Output(np.arange(20).reshape(5, 4))
"""
    assert teacher(tmp_path, code).open(CONTRACT)(feeds()).ravel().tolist() == list(range(20))


def test_it_is_fed_what_it_was_trained_with(tmp_path: Path) -> None:
    spec = CONTRACT.inputs[0].model_copy(update={"preprocessing": {"mean": [0.1, 0.2], "std": [0.5, 0.25]}})
    contract = CONTRACT.model_copy(update={"inputs": (spec,)})
    code = "def mine(feeds):\n    return feeds['image'].reshape(5, -1)[:, [0, 8, 9, 17]]\n"
    pixels = np.random.default_rng(0).random((5, 2, 3, 3))

    def normalised(mean: list[float], std: list[float]) -> dict[str, np.ndarray]:
        return {"image": ((pixels - np.c_[mean][:, None]) / np.c_[std][:, None]).astype(np.float32)}

    wanted = {"mean": [0.4, 0.6], "std": [0.2, 0.3]}
    given = normalised([0.1, 0.2], [0.5, 0.25])
    answer = teacher(tmp_path, code, **wanted).open(contract)(given)
    assert answer == pytest.approx(normalised(**wanted)["image"].reshape(5, -1)[:, [0, 8, 9, 17]], abs=1e-5)
    assert np.array_equal(given["image"], normalised([0.1, 0.2], [0.5, 0.25])["image"])
    with pytest.raises(ConfigError, match="mean and std have 1 and 1 numbers, the data has 2 channels"):
        teacher(tmp_path, code, mean=[0.4], std=[0.2]).open(contract)


def test_the_log_probabilities_of_scikit_learn_teach(tmp_path: Path) -> None:
    code = """
class mine:
    def __init__(self):
        from sklearn.ensemble import RandomForestClassifier
        drawn = np.random.default_rng(0)
        self.forest = RandomForestClassifier(5, random_state=0).fit(drawn.normal(size=(40, 18)), np.arange(40) % 4)
    def __call__(self, feeds):
        probabilities = self.forest.predict_proba(feeds["image"].reshape(len(feeds["image"]), -1))
        return np.log(np.maximum(probabilities, 1e-7))
"""
    answer = teacher(tmp_path, code).open(CONTRACT)(feeds())
    assert np.exp(answer).sum(axis=1) == pytest.approx([1] * 5, abs=1e-5)
    assert (answer == np.log(np.float32(1e-7))).any()
