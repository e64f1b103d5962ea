from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from edgekd.data.mnist import FashionMnist, Mnist
from edgekd.errors import ConfigError
from edgekd.progress import Silent


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any data, and without a network; the folder stands for the user's cache."""
    monkeypatch.delenv("EDGEKD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for loader in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(loader, "mirrors", ["http://127.0.0.1:1/"])
    return tmp_path


@pytest.fixture
def copied(edgekd_data: Path, no_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of MNIST that may be damaged."""
    raw = no_data / "own" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in Mnist.files:
        shutil.copy(edgekd_data / "MNIST" / "raw" / name, raw / name)
    monkeypatch.setenv("EDGEKD_DATA", str(no_data / "own"))
    return raw


@pytest.mark.parametrize(
    ("dataset", "mean"), [(Mnist(use="mnist"), 0.1307), (FashionMnist(use="fashion_mnist"), 0.2860)]
)
def test_the_published_images_are_read(edgekd_data: Path, dataset: Mnist, mean: float) -> None:
    data = dataset.load(Silent())
    assert data.train.samples.shape == (60000, 28, 28, 1)
    assert data.test.samples.shape == (10000, 28, 28, 1)
    assert np.asarray(data.train.samples).mean() / 255 == pytest.approx(mean, abs=1e-4)  # as published
    assert len(data.classes) == 10
    assert set(np.unique(data.test.labels)) == set(range(10))


def test_the_first_labels_are_the_published_ones(edgekd_data: Path) -> None:
    data = Mnist(use="mnist").load(Silent())
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_a_truncated_file_is_named_with_its_wrong_checksum(copied: Path) -> None:
    damaged = copied / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(ConfigError) as error:
        Mnist(use="mnist").load(Silent())
    assert str(damaged) in error.value.what
    assert "the published file has f68b3c2dcbeaaa9fbdd348bbdeb94873" in error.value.what
    assert "replace the file" in str(error.value.hint)


def test_one_flipped_byte_is_noticed(copied: Path) -> None:
    damaged = copied / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(damaged.read_bytes())
    content[2000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ConfigError, match=r"t10k-labels.* is damaged: its md5 is"):
        Mnist(use="mnist").load(Silent())


def test_without_files_and_network_the_error_says_what_to_put_where(no_data: Path) -> None:
    with pytest.raises(ConfigError, match="MNIST is not here and could not be downloaded") as error:
        Mnist(use="mnist").load(Silent())
    hint = str(error.value.hint)
    assert "t10k-labels-idx1-ubyte.gz" in hint
    assert "data/MNIST/raw" in hint
    assert str(no_data / "cache") in hint
    assert "EDGEKD_DATA" in hint


@pytest.fixture
def mirror(edgekd_data: Path) -> Iterator[str]:
    """A real web server that holds the files."""
    handler = functools.partial(_Quiet, directory=str(edgekd_data / "MNIST" / "raw"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def test_files_that_are_nowhere_are_downloaded_into_the_users_cache(
    no_data: Path, mirror: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets.MNIST, "mirrors", [mirror])
    data = Mnist(use="mnist").load(Silent())
    assert len(data.train) == 60000
    assert sorted(no_data.rglob("train-images-idx3-ubyte.gz"))
    assert capfd.readouterr() == ("", "")  # torchvision's own messages would tear the progress bars
    monkeypatch.setattr(datasets.MNIST, "mirrors", [])
    assert len(Mnist(use="mnist").load(Silent()).test) == 10000


def test_what_decides_the_images_is_known_without_reading_them(no_data: Path) -> None:
    assert Mnist(use="mnist").identity() == Mnist(use="mnist").identity()
    assert Mnist(use="mnist").identity() != Mnist(use="mnist", validation=5000).identity()
    assert Mnist(use="mnist").identity() != FashionMnist(use="fashion_mnist").identity()
