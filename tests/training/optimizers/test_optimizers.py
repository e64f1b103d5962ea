"""What every registered optimizer must do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgekd.config.component import identity
from edgekd.config.pipeline import load_pipeline
from edgekd.config.registry import OPTIMIZERS
from edgekd.config.training import TrainingOptions
from edgekd.errors import ConfigError
from edgekd.training.checkpoint import Trained, load_checkpoint, save_checkpoint
from edgekd.training.optimizers.adamw import AdamW
from edgekd.training.optimizers.base import Optimizer, decaying, set_learning_rate
from edgekd.training.optimizers.muon import Muon

from .conftest import CLASSES, OPTIONS, copies, give_gradients, method, network, parameters, part

EVERY = pytest.mark.parametrize("use", OPTIMIZERS.members)
PIPELINE = """\
name: small
data: {use: digits, validation: 0.2}
teacher: {model: conv, epochs: 1, optimizer: adamw}
student: {model: conv}
distill:
  epochs: 1
  losses: [{use: kd}]
targets: [here.yaml]
release: {max_accuracy_drop: 0.02}
"""


def trained(use: str, **options: object) -> Trained:
    model, objective = network(), part()
    return Trained(model, objective, method(use, **options).build(model, objective, OPTIONS, classes=CLASSES))


def steps(run: Trained, seeds: range) -> None:
    for seed in seeds:
        give_gradients(parameters(run.model, run.objective), seed)
        set_learning_rate(run.optimizer, 0.01 / (1 + seed))
        run.optimizer.step()


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(each, right[name]) for name, each in left.items())


@EVERY
def test_every_optimizers_options_are_known_without_torch(use: str) -> None:
    module = OPTIMIZERS.members[use].partition(":")[0]
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@EVERY
def test_every_optimizer_learns_each_parameter_once_and_leaves_the_frozen_alone(use: str) -> None:
    model, objective = network(), part()
    frozen = model.get_parameter("again.weight")
    frozen.requires_grad_(False)
    optimizer = method(use).build(model, objective, OPTIONS, classes=CLASSES)
    found = [id(each) for group in optimizer.param_groups for each in group["params"]]
    assert sorted(found) == sorted(id(each) for each in parameters(model, objective) if each is not frozen)


@EVERY
def test_every_optimizer_decays_weights_and_nothing_of_one_dimension(use: str) -> None:
    for group in trained(use).optimizer.param_groups:
        for each in group["params"]:
            assert group["weight_decay"] == (0.1 if each.ndim > 1 else 0.0)


@EVERY
def test_every_optimizers_groups_follow_the_learning_rate_each_at_its_scale(use: str) -> None:
    optimizer = trained(use).optimizer
    scales = [group["scale"] for group in optimizer.param_groups]
    assert 1.0 in scales
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01 * scale for scale in scales])
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5 * scale for scale in scales])


@EVERY
def test_a_learning_rate_of_zero_changes_nothing(use: str) -> None:
    run = trained(use)
    before = copies(parameters(run.model, run.objective))
    set_learning_rate(run.optimizer, 0.0)
    give_gradients(parameters(run.model, run.objective), 0)
    run.optimizer.step()
    assert all(map(torch.equal, parameters(run.model, run.objective), before))


@EVERY
def test_every_optimizer_leaves_alone_what_has_no_gradient(use: str) -> None:
    run = trained(use)
    for seed in range(3):
        give_gradients(parameters(run.model, run.objective), seed)
        skipped = [run.model.get_parameter("third.weight"), run.model.get_parameter("head.bias")]
        before = copies(skipped)
        for each in skipped if seed != 1 else []:  # they come in the second step, and are gone in the third
            each.grad = None
        run.optimizer.step()
        assert all(map(torch.equal, skipped, before)) == (seed != 1)


@EVERY
def test_every_optimizer_takes_the_same_steps_bit_for_bit_after_a_checkpoint(use: str, tmp_path: Path) -> None:
    whole = trained(use)
    steps(whole, range(5))
    stopped = trained(use)
    steps(stopped, range(3))
    save_checkpoint(tmp_path, stopped, run="this", epochs=(), seconds=0.0)
    resumed = trained(use)
    assert load_checkpoint(tmp_path, resumed, run="this") is not None
    assert same(resumed.tensors(), stopped.tensors())
    steps(resumed, range(3, 5))
    assert same(resumed.tensors(), whole.tensors())
    assert [group["scale"] for group in resumed.optimizer.param_groups] == [
        group["scale"] for group in whole.optimizer.param_groups
    ]


@EVERY
def test_a_gradient_that_lies_otherwise_in_memory_gives_the_same_step(use: str) -> None:
    usual, other = trained(use), trained(use)
    for seed in range(3):
        for run in (usual, other):
            give_gradients(parameters(run.model, run.objective), seed)
        for each in parameters(other.model):
            assert each.grad is not None
            if each.ndim == 4:
                each.grad = each.grad.contiguous()
            elif each.ndim == 2:
                each.grad = each.grad.t().contiguous().t()
        usual.optimizer.step()
        other.optimizer.step()
    assert same(usual.tensors(), other.tensors())


@EVERY
def test_how_weights_lie_in_memory_does_not_change_the_step(use: str) -> None:
    last, first = trained(use), trained(use)
    for each in first.model.parameters():
        each.data = each.data.contiguous()
    for run in (last, first):
        steps(run, range(3))
    for left, right in zip(last.model.parameters(), first.model.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


@EVERY
def test_every_optimizer_learns(use: str) -> None:
    """Which of four quadrants of an image is bright."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        labels = torch.arange(CLASSES).repeat(64)
        images = 0.5 * torch.randn(len(labels), 2, 6, 6)
        for label in range(CLASSES):
            row, column = 3 * (label // 2), 3 * (label % 2)
            images[labels == label, :, row : row + 3, column : column + 3] += 1
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(72, CLASSES),
    )
    rate = 0.1 if use == "sgd" else 0.01
    options = TrainingOptions(epochs=1, learning_rate=rate, weight_decay=5e-4)
    optimizer = method(use).build(model, nn.Module(), options, classes=CLASSES)
    losses = []
    for step in range(60):
        set_learning_rate(optimizer, rate * (1 - step / 60))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 1
    assert losses[-1] < 0.05


@EVERY
def test_every_optimizer_is_written_by_its_name_alone(use: str) -> None:
    options = TrainingOptions.model_validate({"epochs": 1, "optimizer": use})
    assert options.optimizer == method(use)
    assert TrainingOptions.model_validate(options.model_dump(mode="json")) == options


def test_adamw_is_what_a_section_has_that_names_none() -> None:
    assert TrainingOptions(epochs=1).optimizer == AdamW(use="adamw")


def test_the_optimizer_and_its_code_decide_results() -> None:
    plain, muon = TrainingOptions(epochs=1), TrainingOptions(epochs=1, optimizer=Muon(use="muon", momentum=0.6))
    assert identity(plain) != identity(muon)
    found = str(identity(muon))
    assert "'momentum': 0.6" in found
    assert "training/optimizers/orthogonal.py" in found
    assert "training/optimizers/sgd.py" not in found


@pytest.mark.parametrize(
    ("written", "line", "hint"),
    [
        ("optimizer: adamv", "unknown optimizer 'adamv'", "did you mean 'adamw'?"),
        ("optimizer: {momentum: 0.9}", "`use` is missing: which optimizer?", "one of adamw, muon, sgd"),
        ("optimizer: {use: muon, momentun: 0.9}", "unknown key", "did you mean 'momentum'?"),
        ("optimizer: {use: muon, momentum: 1}", "input should be less than 1, found 1", ""),
        ("optimizer: {use: muon, other_learning_rate: 0}", "input should be greater than 0, found 0", ""),
        ("optimizer: {use: sgd, momentum: -1}", "input should be greater than or equal to 0, found -1", ""),
        ("optimizer: 3", "expected `use: NAME` and its options", ""),
        ("averaging: 1", "input should be less than 1, found 1", ""),
    ],
)
def test_a_wrong_optimizer_is_refused_in_one_line(tmp_path: Path, written: str, line: str, hint: str) -> None:
    (tmp_path / "here.yaml").write_text("name: here\ndevice: local\n")
    path = tmp_path / "p.yaml"
    path.write_text(PIPELINE.replace("optimizer: adamw", written))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    found = str(caught.value)
    assert "p.yaml:3: teacher." in found
    assert found.endswith(f": {line}")
    assert hint in (caught.value.hint or "")


class Signs(Optimizer):
    """All that a new optimizer takes, beside its line in the registry."""

    def build(
        self, network: nn.Module, objective: nn.Module, options: TrainingOptions, *, classes: int
    ) -> torch.optim.Optimizer:
        return torch.optim.Rprop(decaying(list(network.parameters()), options), lr=options.learning_rate)


def test_a_new_optimizer_is_one_class_and_one_line_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIMIZERS.members, "signs", f"{__name__}:Signs")
    options = TrainingOptions.model_validate({"epochs": 1, "optimizer": "signs"})
    assert isinstance(options.optimizer, Signs)
