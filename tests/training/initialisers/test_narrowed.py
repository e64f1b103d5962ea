"""What a student that starts from a wider or deeper teacher has of it."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekd.config.registry import INITIALISERS, MODELS
from edgekd.errors import ConfigError
from edgekd.models.base import blank_inputs
from edgekd.training.initialisers.base import Taken
from edgekd.training.initialisers.following import follow
from edgekd.training.initialisers.narrowed import Keep, Narrowed
from edgekd.training.initialisers.narrowing import LARGER, OTHERWISE, UNKNOWN, UNPAIRED
from edgekd.training.initialisers.pairing import pairs
from edgekd.training.initialisers.units import Followed
from edgekd.training.network import build_network
from tests.models.test_models import TEXTS
from tests.models.text_contracts import model as text_model
from tests.models.text_contracts import text_contract
from tests.training.initialisers.conftest import CASES, CLASSES, REGISTERED, Case

KEEPS = get_args(Keep)


def start(student: nn.Module, teacher: nn.Module, case: Case, keep: Keep = "norm", seed: int = 0) -> Taken:
    start = Narrowed(use="narrowed", network="teacher", keep=keep)
    return start.fill(student, teacher, case.inputs, seed, case.contract)


def answers(network: nn.Module, case: Case) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(case.samples)
    return logits


def same_function(one: nn.Module, other: nn.Module, case: Case) -> bool:
    """But for the order of sums; and not because both say nothing."""
    mine, theirs = answers(one, case), answers(other, case)
    scale = float(mine.std(0).mean())
    assert scale > 1e-3, "the networks do not see their input"
    return bool((mine - theirs).abs().max() < 1e-9 * max(1.0, scale))


def tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def change_units(network: nn.Module, followed: Followed, changed: Callable[[int, Tensor], Tensor]) -> None:
    """Replaces, in every dimension, the entries (units, repeat, ...) of a set by what `changed` makes of them."""
    with torch.no_grad():
        for name, tensor in tensors(network).items():
            for place, dim in enumerate(followed.dims.get(name, ())):
                turned = tensor.transpose(0, place)
                sizes = [followed.units.size(part.units) * part.repeat for part in dim]
                done = [
                    changed(
                        followed.units.root(part.units), entries.reshape(-1, part.repeat, *entries.shape[1:])
                    ).flatten(0, 1)
                    for part, entries in zip(dim, torch.split(turned, sizes), strict=True)
                ]
                tensor.copy_(torch.cat(done).transpose(0, place))


def wanted_sizes(mine: Followed, theirs: Followed) -> dict[int, int]:
    """How many units the student has of each set of its teacher's, where their names are the same."""
    found: dict[int, int] = {}
    for name, dims in theirs.dims.items():
        for dim, small in zip(dims, mine.dims[name], strict=True):
            for part, less in zip(dim, small, strict=True):
                size = mine.units.size(less.units)
                assert found.setdefault(theirs.units.root(part.units), size) == size
    return found


def test_there_is_a_case_for_every_architecture() -> None:
    assert set(REGISTERED) | TEXTS == set(MODELS.members)


@pytest.mark.parametrize("use", sorted(TEXTS - {"transformers"}))
def test_a_network_for_texts_is_refused_in_one_line(use: str) -> None:
    """What it computes depends on how long the texts are."""
    network, contract = build_network(text_model(use), text_contract(), 0), text_contract()
    with pytest.raises(ConfigError, match="the layers of a .* cannot be followed") as caught:
        Narrowed(use="narrowed", network="teacher").fill(network, network, blank_inputs(contract, 2), 0, contract)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("name", CASES)
def test_the_same_shape_gives_exactly_the_teachers_function(name: str, keep: Keep) -> None:
    case = CASES[name]
    teacher, student = case.of(case.teacher, 0), case.of(case.teacher, 1)
    taken = start(student, teacher, case, keep)
    assert not taken.fresh
    assert taken.tensors == len(teacher.state_dict())
    assert torch.equal(answers(student, case), answers(teacher, case))


@pytest.mark.parametrize("keep", ["norm", "product"])
@pytest.mark.parametrize("name", CASES)
def test_units_that_do_nothing_are_left_out_and_the_function_stays(name: str, keep: Keep) -> None:
    case = CASES[name]
    student, teacher = case.pair()
    theirs = follow(teacher, case.inputs)
    sizes = wanted_sizes(follow(student, case.inputs), theirs)
    draw = np.random.default_rng(3)
    alive = {root: sorted(draw.permutation(theirs.units.size(root))[:size].tolist()) for root, size in sizes.items()}
    assert any(len(each) < theirs.units.size(root) for root, each in alive.items())

    def deadened(root: int, entries: Tensor) -> Tensor:
        dead = torch.zeros_like(entries)
        dead[alive[root]] = entries[alive[root]]
        return dead

    change_units(teacher, theirs, deadened)
    case.calibrate(teacher)
    taken = start(student, teacher, case, keep)
    assert not taken.fresh
    assert same_function(student, teacher, case)


@pytest.mark.parametrize("keep", ["norm", "product"])
@pytest.mark.parametrize("name", CASES)
def test_the_order_of_the_teachers_units_does_not_matter(name: str, keep: Keep) -> None:
    case = CASES[name]
    student, teacher = case.pair()
    other, permuted = copy.deepcopy(student), copy.deepcopy(teacher)
    theirs = follow(teacher, case.inputs)
    draw = np.random.default_rng(4)
    orders = {
        root: torch.from_numpy(
            np.arange(theirs.units.size(root))
            if theirs.units.whole(root)
            else draw.permutation(theirs.units.size(root))
        )
        for root in theirs.units.roots()
    }
    change_units(permuted, theirs, lambda root, entries: entries[orders[root]])
    assert same_function(teacher, permuted, case), "the units were not followed rightly"
    start(student, teacher, case, keep)
    start(other, permuted, case, keep)
    assert same_function(student, other, case)


@pytest.mark.parametrize("name", CASES)
def test_a_narrowed_student_has_a_part_of_every_one_of_its_teachers_weights(name: str) -> None:
    case = CASES[name]
    student, teacher = case.pair()
    taken = start(student, teacher, case, "first")
    assert not taken.fresh
    given = teacher.state_dict()
    for tensor_name, tensor in student.state_dict().items():
        values = set(given[tensor_name].flatten().tolist())
        assert set(tensor.flatten().tolist()) <= values, tensor_name


@pytest.mark.parametrize("name", REGISTERED)
def test_random_units_depend_on_the_seed_alone(name: str) -> None:
    case = CASES[name]
    fresh, teacher = case.pair()
    made: list[Mapping[str, Tensor]] = []
    for seed, elsewhere in ((7, 1), (7, 2), (8, 1)):
        student = copy.deepcopy(fresh)
        torch.manual_seed(elsewhere)
        state = torch.random.get_rng_state()
        start(student, teacher, case, "random", seed)
        assert torch.equal(torch.random.get_rng_state(), state)
        made.append(student.state_dict())
    once, again, other = made
    assert all(torch.equal(each, again[key]) for key, each in once.items())
    assert any(not torch.equal(each, other[key]) for key, each in once.items())


@pytest.mark.parametrize("name", CASES)
def test_both_networks_stay_in_their_modes_and_the_teacher_as_it_was(name: str) -> None:
    case = CASES[name]
    student, teacher = case.pair()
    student.train()
    before = copy.deepcopy(teacher.state_dict())
    start(student, teacher, case)
    assert student.training
    assert not teacher.training
    assert all(torch.equal(each, before[key]) for key, each in teacher.state_dict().items())
    assert all(each.requires_grad for each in student.parameters())


# what is kept, by hand


def residual(width: int, seed: int) -> nn.Module:
    case = REGISTERED["resnet"]
    return case.of({"width": width, "depth": 1, "stages": 1}, seed)


def test_norm_adds_up_every_layer_that_makes_the_units_times_their_gains() -> None:
    """Written out with NumPy for one residual block: the stem and the block's second convolution make its channels."""
    case = REGISTERED["resnet"]
    teacher, student = residual(8, 2), residual(3, 1)
    start(student, teacher, case)
    w = {name: each.numpy() for name, each in teacher.state_dict().items()}

    def norms(convolution: str, norm: str) -> NDArray[np.float64]:
        rows = [np.sqrt((row**2).sum()) for row in w[f"{convolution}.weight"]]
        gains = np.abs(w[f"{norm}.weight"])
        return np.array([row * gain for row, gain in zip(rows, gains, strict=True)])

    stem, body = norms("stem.0", "stem.1"), norms("stages.0.0.body.3", "stages.0.0.body.4")
    outer = stem + body
    inner = norms("stages.0.0.body.0", "stages.0.0.body.1")
    outside, inside = (sorted(np.argsort(-each)[:3].tolist()) for each in (outer, inner))
    assert outside not in [sorted(np.argsort(-each)[:3].tolist()) for each in (stem, body)], "one of them would do"
    mine = student.state_dict()
    assert np.array_equal(mine["stages.0.0.body.0.weight"], w["stages.0.0.body.0.weight"][np.ix_(inside, outside)])
    assert np.array_equal(mine["stages.0.0.body.3.weight"], w["stages.0.0.body.3.weight"][np.ix_(outside, inside)])
    assert np.array_equal(mine["stem.1.running_var"], w["stem.1.running_var"][outside])
    assert np.array_equal(mine["head.weight"], w["head.weight"][:, outside])
    assert np.array_equal(mine["head.bias"], w["head.bias"])


def test_product_counts_what_leaves_a_unit_too() -> None:
    case = Case((2,), lambda width: nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, CLASSES)), {}, {})
    teacher, student, other = (case.of({"width": width}, seed) for width, seed in ((3, 0), (2, 1), (2, 1)))
    with torch.no_grad():
        teacher.get_parameter("0.weight").copy_(torch.tensor([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]]))  # 5, 2, 1
        teacher.get_parameter("2.weight").copy_(
            torch.tensor([[0.1, 1.0, 3.0]] * CLASSES)
        )  # 0.1, 1, 3 times the root of 7
    start(student, teacher, case, "norm")
    start(other, teacher, case, "product")  # 0.5, 2, 3
    assert student.get_parameter("0.weight").tolist() == [[3.0, 4.0], [0.0, 2.0]]
    assert other.get_parameter("0.weight").tolist() == [[0.0, 2.0], [1.0, 0.0]]
    assert other.get_parameter("2.weight").tolist() == [[1.0, 3.0]] * CLASSES


def test_a_map_is_read_by_a_linear_layer_channel_by_channel() -> None:
    case = CASES["flattened"]
    teacher, student = case.of({"width": 9}, 0), case.of({"width": 4}, 1)
    start(student, teacher, case, "first")
    assert torch.equal(student.get_parameter("9.weight"), teacher.get_parameter("9.weight")[:, : 4 * 2 * 6])
    assert torch.equal(student.get_parameter("3.weight"), teacher.get_parameter("3.weight")[: 4 * 2])


# depth


def stack(depth: int) -> nn.Module:
    return nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(depth)))


def places(student: nn.Module, teacher: nn.Module) -> list[int]:
    return [int(other) for _, other in pairs(student, teacher) if other]


def test_of_a_deeper_network_every_other_layer_is_taken_with_the_first_and_the_last() -> None:
    assert places(stack(6), stack(12)) == [0, 2, 4, 7, 9, 11]  # DistilBERT's own choice
    assert places(stack(3), stack(3)) == [0, 1, 2]
    assert places(stack(2), stack(5)) == [0, 4]
    assert places(stack(1), stack(5)) == [0]


def test_a_deeper_student_has_the_first_and_the_last_and_others_are_fresh() -> None:
    case = Case((4,), stack, {}, {})
    teacher, student = case.of({"depth": 2}, 0), case.of({"depth": 3}, 1)
    assert start(student, teacher, case).fresh == {"1.weight": UNPAIRED}
    assert torch.equal(student.get_parameter("2.weight"), teacher.get_parameter("1.weight"))


def test_layers_of_other_kinds_in_between_do_not_shift_places() -> None:
    mine = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())
    theirs = nn.Sequential(*(each for _ in range(3) for each in (nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.1))))
    assert places(mine, theirs) == [0, 6, 1, 7]


@pytest.mark.parametrize("name", ["resnet", "ds_resnet"])
def test_blocks_that_add_nothing_can_be_left_out(name: str) -> None:
    """Of three blocks the first and the last stay; the one between them, if its batch norm gives zero, is no loss."""
    shallow, deep = ({"depth": each} if name == "resnet" else {"blocks": (each, each)} for each in (2, 3))
    case = REGISTERED[name]
    teacher, student = case.of(deep, 0), case.of(shallow, 1)
    with torch.no_grad():
        for each, module in teacher.named_modules():
            # of three blocks the middle one; the second stage of ds_resnet begins with a pooling
            middle = {"resnet": (".1.body.4",), "ds_resnet": ("0.1.body.2", "1.2.body.2")}[name]
            if each.endswith(middle) and isinstance(module, nn.BatchNorm2d):
                module.weight.zero_()
                module.bias.zero_()
    assert not start(student, teacher, case).fresh
    assert same_function(student, teacher, case)


# what does not fit


def test_a_student_that_is_wider_everywhere_is_refused() -> None:
    case = REGISTERED["mlp"]
    teacher, student = case.of({"width": 6, "depth": 2}, 0), case.of({"width": 9, "depth": 2}, 1)
    with pytest.raises(ConfigError, match="no weights of teacher fit"):
        start(student, teacher, case)


def test_a_layer_with_more_units_than_the_teachers_stays_fresh_as_a_whole() -> None:
    def make(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, width), nn.ReLU(), nn.Linear(width, CLASSES))

    case = Case((4,), make, {}, {})
    teacher, student = case.of({"width": 5}, 0), case.of({"width": 6}, 1)
    taken = start(student, teacher, case)
    assert taken.fresh == dict.fromkeys(("2.weight", "2.bias", "4.weight"), LARGER) | {"4.bias": LARGER}
    assert torch.equal(student.get_parameter("0.weight"), teacher.get_parameter("0.weight"))


def test_architectures_without_anything_in_common_are_both_named() -> None:
    case = Case((4,), nn.Sequential, {}, {})
    teacher = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, CLASSES)).double()

    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Linear(4, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.only(x)
            return logits

    with pytest.raises(ConfigError) as caught:
        start(Single().double(), teacher, case)
    assert "Single" in str(caught.value)
    assert "Tanh" in str(caught.value)
    assert caught.value.hint
    assert "same architecture" in caught.value.hint


def test_another_kernel_or_grouping_is_another_layer() -> None:
    def make(size: int, groups: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(4, 4, size, padding=size // 2, groups=groups), nn.Flatten(), nn.Linear(64, CLASSES)
        )

    case = Case((4, 4, 4), make, {}, {})
    teacher = case.of({"size": 3, "groups": 1}, 0)
    options: dict[str, Any]
    for options in ({"size": 1, "groups": 1}, {"size": 3, "groups": 4}, {"size": 3, "groups": 2}):
        taken = start(case.of(options, 1), teacher, case)
        fresh = dict.fromkeys(("0.weight", "0.bias"), UNPAIRED)
        assert fresh.items() <= dict(taken.fresh).items(), options


def test_groups_of_channels_are_taken_all_or_not_at_all() -> None:
    def make(width: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.Conv2d(8, width, 1, groups=2), nn.Flatten(), nn.Linear(16 * width, CLASSES)
        )

    case = Case((3, 4, 4), make, {}, {})
    taken = start(case.of({"width": 4}, 1), case.of({"width": 8}, 0), case)
    assert taken.fresh == dict.fromkeys(("1.weight", "1.bias", "3.weight", "3.bias"), UNKNOWN)


def test_a_map_of_another_size_is_read_otherwise() -> None:
    def make(width: int, side: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, width, 1), nn.AdaptiveAvgPool2d(side), nn.Flatten(), nn.Linear(width * side**2, CLASSES)
        )

    case = Case((3, 8, 8), make, {}, {})
    taken = start(case.of({"width": 4, "side": 2}, 1), case.of({"width": 4, "side": 4}, 0), case)
    assert taken.fresh == dict.fromkeys(("3.weight", "3.bias"), OTHERWISE)


def test_a_network_that_cannot_be_followed_is_refused_in_one_line() -> None:
    class Deciding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.layer(x if x.sum() > 0 else -x)
            return logits

    case = Case((4,), Deciding, {}, {})
    with pytest.raises(ConfigError, match="the layers of a Deciding cannot be followed") as caught:
        start(case.of({}, 0), case.of({}, 1), case)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert "`if` on tensors" in caught.value.hint


@pytest.mark.parametrize("use", INITIALISERS.members)
def test_every_initialisers_options_are_known_without_torch(use: str) -> None:
    module = INITIALISERS.members[use].partition(":")[0]
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
