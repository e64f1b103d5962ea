"""What torchdistill_mnist.py compares, each in a process of its own: loops.py NAME WORK TEACHER [--epochs N] ...

NAME `teacher` trains one for the others to learn from. `torchdistill, N workers` and `edgekd` teach the student of
pipelines/mnist.yaml; the last line that they print is a JSON object: what it took and what it reached.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import string
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader

from edgekd.agent.machine import cpu_facts
from edgekd.config.paths import data_folders
from edgekd.config.pipeline import load_pipeline
from edgekd.config.training import AugmentOptions
from edgekd.data.base import Dataset
from edgekd.data.mnist import Mnist
from edgekd.data.modalities.base import contract_for
from edgekd.data.split import stratified_split
from edgekd.models.base import Model
from edgekd.progress import Silent
from edgekd.training.evaluate import count_right
from edgekd.training.execution import execution_here
from edgekd.training.loop import TrainingData, train
from edgekd.training.losses.base import Loss
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.network import build_network
from edgekd.training.recorded import Recordings
from edgekd.training.replicas import Replicas
from edgekd.training.teachers import Live
from edgekd.training.temperatures.base import Temperature, with_temperature
from edgekd.training.temperatures.fixed import Fixed
from edgekd.training.weights import load_weights, save_weights
from edgekd.training.workers import ALONE

PIPELINE = Path(__file__).resolve().parents[2] / "pipelines" / "mnist.yaml"
ADAMW = {"learning_rate": 0.01, "weight_decay": 0.01}
"""For torchdistill where the pipeline's optimizer is not AdamW."""


class Distillation:
    """The networks, samples and options of the pipeline, as both learn from them.

    work: a folder to write to; teacher: its weights; seed: of the student; epochs, samples: None for all of the
    pipeline's.
    """

    def __init__(self, work: Path, teacher: Path, seed: int, epochs: int | None, samples: int | None) -> None:
        self.work, self.teacher, self.seed = work, teacher, seed
        self.config = load_pipeline(PIPELINE).config
        dataset = cast("Dataset", self.config.data)
        whole = dataset.load(Silent())
        kept, self.held_out = stratified_split(whole.train.labels, dataset.validation, self.config.seed)
        self.contract = contract_for("image", whole.train.samples[kept], whole.classes)
        self.rows = kept[:samples]
        self.data = TrainingData(whole.train.take(self.rows), whole.train.take(self.held_out), self.contract)
        self.options = self.config.distill.model_copy(update={"epochs": epochs or self.config.distill.epochs})
        self.losses = with_temperature(
            cast("list[Loss]", self.config.distill.losses), cast("Temperature", self.config.distill.temperature)
        )

    def network(self, section: str) -> nn.Module:
        """The initialised network of the section `teacher` or `student`."""
        model = self.config.teacher.model if section == "teacher" else self.config.student.model
        return build_network(cast("Model", model), self.contract, self.seed)

    def trained_teacher(self) -> nn.Module:
        teacher = self.network("teacher")
        load_weights(teacher, self.teacher)
        return teacher

    def teach_teacher(self) -> None:
        """Trains it for one epoch."""
        options = self.config.teacher.model_copy(update={"epochs": 1})
        teacher = self.network("teacher")
        train(
            teacher,
            [loss for loss in self.losses if not loss.taught],
            self.data,
            options,
            seed=self.seed,
            execution=execution_here(options, cpu_facts()["isa"]),
            work=self.emptied("teaching"),
            progress=Silent(),
            section="teacher",
            name="teacher",
        )
        save_weights(teacher, self.teacher)

    def edgekd(self) -> dict[str, Any]:
        """The whole of `train`, validation and a checkpoint after each epoch too; a second one finds recordings."""
        student, teacher, work = self.network("student"), self.trained_teacher(), self.emptied("training")
        execution = execution_here(self.options, cpu_facts()["isa"])
        started_s = time.perf_counter()
        train(
            student,
            self.losses,
            self.data,
            self.options,
            seed=self.seed,
            execution=execution,
            work=work,
            progress=Silent(),
            section="distill",
            name="student",
            teachers={"teacher": Live(teacher)},
            recordings=Recordings(self.work / "answers", {"teacher": "the same"}),
        )
        seconds = time.perf_counter() - started_s
        told = [self.options.optimizer.use, execution.precision, f"{execution.shards} shards of {execution.threads}"]
        told += [f"{name} {value}" for name in ("averaging", "views") if (value := getattr(self.options, name))]
        return self.reached(student, seconds, ", ".join(told))

    def torchdistill(self, workers: int) -> dict[str, Any]:
        """Its configuration, with a loop as its examples have it but for their logging and checkpoints."""
        from torchdistill.common.main_util import load_ckpt, set_seed  # type: ignore[import-not-found]
        from torchdistill.common.yaml_util import load_yaml_file  # type: ignore[import-not-found]
        from torchdistill.core.distillation import get_distillation_box  # type: ignore[import-not-found]
        from torchdistill.models.registry import get_model, register_model  # type: ignore[import-not-found]

        register_model(key="edgekd_network")(self.network)
        config = load_yaml_file(str(self.configuration(workers)))
        networks = {}
        for name, told in config["models"].items():
            networks[name] = get_model(told["key"], **told["kwargs"])
            load_ckpt(told["src_ckpt"], model=networks[name])
        set_seed(self.seed)
        started_s = time.perf_counter()
        box = get_distillation_box(
            networks["teacher_model"],
            networks["student_model"],
            config["datasets"],
            config["train"],
            device=torch.device("cpu"),
            device_ids=None,
            distributed=False,
            lr_factor=1,
        )
        for epoch in range(box.num_epochs):
            box.pre_epoch_process(epoch=epoch)
            for images, labels, extra in box.train_data_loader:
                box.post_forward_process(loss=box.forward_process(images, labels, extra))
            right = validated(box.student_model, box.val_data_loader)
            box.post_epoch_process(metrics=right)
        seconds = time.perf_counter() - started_s
        threads = torch.get_num_threads()
        return self.reached(networks["student_model"], seconds, f"adamw, float32, {threads} threads")

    def configuration(self, workers: int) -> Path:
        """mnist.yaml beside this file with the pipeline's values; the data and the teacher as it wants them."""
        options, augment, work = self.options, self.options.augment, self.work
        weights = {loss.use: loss.weight for loss in self.losses}
        softened = next(loss for loss in self.losses if isinstance(loss, SoftTargets))
        known = AugmentOptions(shift=augment.shift, rotate=augment.rotate, scale=augment.scale)
        if set(weights) != {"cross_entropy", "kd"} or not isinstance(softened.temperature, Fixed) or augment != known:
            raise SystemExit(f"{PIPELINE} has losses or augmentation that mnist.yaml for torchdistill has not")
        np.save(work / "train.npy", self.rows)
        np.save(work / "validation.npy", self.held_out)
        torch.save({"model": self.trained_teacher().state_dict()}, work / "teacher.pt")
        unpack(work / "MNIST" / "raw")
        shift = augment.shift / self.data.train.samples.shape[1]
        values = {
            "root": work,
            "train_rows": work / "train.npy",
            "validation_rows": work / "validation.npy",
            "teacher": work / "teacher.pt",
            "degrees": augment.rotate,
            "translate": [shift, shift],
            "scale": [1 - augment.scale, 1 + augment.scale],
            **self.contract.inputs[0].preprocessing,
            "workers": workers,
            "persistent": workers > 0,
            **options.model_dump(include={"epochs", "batch_size", "warmup", *ADAMW}),
            **({} if options.optimizer.use == "adamw" else ADAMW),
            "steps": options.epochs * (len(self.rows) // options.batch_size),
            "temperature": softened.temperature.value,
            "hard_weight": weights["cross_entropy"],
            "soft_weight": weights["kd"],
        }
        path = work / "torchdistill.yaml"
        path.write_text(string.Template(Path(__file__).with_name("mnist.yaml").read_text()).substitute(values))
        return path

    def reached(self, student: nn.Module, seconds: float, how: str) -> dict[str, Any]:
        return {
            "seconds": seconds,
            "accuracy": count_right(Replicas(student, ALONE), self.data.validation, self.contract)
            / len(self.data.validation),
            "how": f"{how}, torch {torch.__version__}, torchvision {torchvision.__version__}",
        }

    def emptied(self, name: str) -> Path:
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


@torch.inference_mode()
def validated(student: nn.Module, loader: DataLoader[Any]) -> float:
    """The share of the samples that the student gets right."""
    student.eval()
    right = sum(int((student(images).argmax(1) == labels).sum()) for images, labels in loader)
    return right / len(cast("Any", loader.dataset))


def unpack(folder: Path) -> None:
    """MNIST's files without gzip, as torchvision looks for them; what the data folder holds may be packed only."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [each / Mnist.folder / "raw" for each in data_folders()]
    source = next(each for each in found if all((each / name).is_file() for name in Mnist.files))
    for name in Mnist.files:
        (folder / name).with_suffix("").write_bytes(gzip.decompress((source / name).read_bytes()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("work", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--samples", type=int)
    options = parser.parse_args()
    distillation = Distillation(options.work, options.teacher, options.seed, options.epochs, options.samples)
    program, _, variant = options.name.partition(", ")
    if program == "teacher":
        distillation.teach_teacher()
    elif program == "edgekd":
        print(json.dumps(distillation.edgekd()))
    else:
        print(json.dumps(distillation.torchdistill(int(variant.split()[0]))))


if __name__ == "__main__":
    main()
