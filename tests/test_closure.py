"""The code that decides a result is found from imports, and all of it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekd.closure import APART, closure, closure_of_names
from tests.command import REPOSITORY, python

EDGEKD = REPOSITORY / "edgekd"
MODULES = sorted(
    path.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".")
    for path in EDGEKD.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
    and path.relative_to(EDGEKD).parts[0].removesuffix(".py") not in APART
)

Write = Callable[[dict[str, str]], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Write:
    """Writes a package of files with a name of its own, in which `PKG` stands for that name; it can be found after."""
    name = f"toy_{abs(hash(request.node.name)):x}"

    def files(sources: dict[str, str]) -> str:
        for path, text in {"__init__.py": "", **sources}.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("PKG", name))
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return files


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("import PKG.a", {"a.py"}),
        ("import PKG.inner.c as c", {"inner/__init__.py", "inner/c.py"}),
        ("from PKG import a", {"a.py"}),
        ("from PKG.a import f", {"a.py"}),
        ("from PKG.inner import c", {"inner/__init__.py", "inner/c.py"}),
        ("from PKG.inner import CONSTANT", {"inner/__init__.py"}),
        ("from . import a", {"a.py"}),
        ("from .a import f", {"a.py"}),
        ("from .inner.c import f", {"inner/__init__.py", "inner/c.py"}),
        ("from PKG.inner.up import f", {"inner/__init__.py", "inner/up.py", "a.py"}),
        ("from PKG.chain import f", {"chain.py", "a.py", "b.py"}),
        ("def f():\n    from PKG import a", {"a.py"}),
        ("class C:\n    def m(self):\n        if self:\n            import PKG.a", {"a.py"}),
        ("try:\n    import PKG.a\nexcept ImportError:\n    from PKG import b", {"a.py", "b.py"}),
        ("if TYPE_CHECKING:\n    from PKG import a\nelse:\n    from PKG import b", {"b.py"}),
        ("import typing\nif typing.TYPE_CHECKING:\n    from PKG import a", set()),
        ("program = 'code.c', 'inner/device.py'", {"code.c", "inner/device.py"}),
        ("'of code.c and a.py'", set()),
        ("'gone.c', '.py', '../outside.py'", set()),
        ("registered = 'PKG.a:f'", set()),
        ("import json, numpy.random", set()),
    ],
)  # fmt: skip
def test_what_a_module_uses_counts_and_no_more(write: Write, text: str, counted: set[str]) -> None:
    name = write(
        {
            "start.py": text,
            "a.py": "",
            "b.py": "",
            "chain.py": "from PKG.b import f\nfrom PKG.a import f",
            "inner/__init__.py": "CONSTANT = 1",
            "inner/c.py": "",
            "inner/up.py": "from ..a import f",
            "inner/device.py": "",
            "code.c": "int main;",
        }
    )
    assert set(closure(f"{name}.start")) == {f"{name}/{path}" for path in {"start.py", "__init__.py", *counted}}


def test_modules_that_use_each_other_end(write: Write) -> None:
    name = write({"a.py": "import PKG.b", "b.py": "import PKG.a"})
    assert closure(f"{name}.a") == closure(f"{name}.b")


def test_a_digest_is_of_the_bytes(write: Write) -> None:
    # the digest of no bytes: sha256sum /dev/null
    assert dict(closure(f"{write({'a.py': ''})}.a")).popitem()[1] == "e3b0c44298fc1c14"


def test_another_packages_module_counts_with_what_it_uses_of_edgekd(write: Write) -> None:
    name = write({"stage.py": "from edgekd.records.stage import StageRecord"})
    assert set(closure(f"{name}.stage")) == {
        f"{name}/__init__.py",
        f"{name}/stage.py",
        "records/__init__.py",
        "records/artifact.py",
        "records/base.py",
        "records/stage.py",
    }


@pytest.mark.parametrize("module", ["edgekd.no", "edgekd.records.no", "no_such_package.a", "edgekd.config.registry"])
def test_what_can_not_be_followed_is_refused(module: str) -> None:
    with pytest.raises(ValueError, match="there is no module"):
        closure(module)


def test_only_names_of_modules_are_followed() -> None:
    names = frozenset({"edgekd", "edgekd.records.base.Record", "edgekd.nothing", "numpy", "x"})
    assert closure_of_names(names) == closure("edgekd.records.base")


@pytest.mark.parametrize("module", MODULES)
def test_the_closure_of_every_module_has_its_own_file_and_nothing_that_is_left_out(module: str) -> None:
    found = closure(module)
    assert module.removeprefix("edgekd.").replace(".", "/") + ".py" in found
    assert not [path for path in found if path.split("/")[0].removesuffix(".py") in {*APART, "__init__"}]
    assert all((EDGEKD / path).is_file() for path in found)


def test_a_target_kind_does_not_count_for_another() -> None:
    local, qemu = closure("edgekd.devices.local"), closure("edgekd.devices.qemu")
    assert "devices/ssh.py" not in {*local, *qemu}
    assert {"devices/local.py", "devices/base.py"} <= set(local)
    assert {"devices/sysroot.py", "devices/counter.py", "devices/count_instructions.c"} <= set(qemu)
    assert "devices/keeper.py" in closure("edgekd.devices.ssh"), "it is sent to the board"


def test_the_agent_counts_whole_where_it_is_sent() -> None:
    agent = {path.relative_to(EDGEKD).as_posix() for path in (EDGEKD / "agent").rglob("*.py")}
    assert len(agent) > 5
    assert agent <= set(closure("edgekd.harness.driver"))


def test_one_loss_does_not_count_for_another() -> None:
    assert "training/losses/kd.py" not in closure("edgekd.training.losses.cross_entropy")
    assert "training/losses/kd.py" not in closure("edgekd.training.loop")


def test_an_edit_of_what_measures_trains_nothing_again() -> None:
    measuring = {"agent/timing.py", "harness/campaign.py", "harness/conversation.py", "devices/base.py"}
    assert measuring <= set(closure("edgekd.stages.measure"))
    assert not measuring & {*closure("edgekd.stages.train"), *closure("edgekd.stages.export")}


def test_every_program_that_is_no_python_counts_where_it_is_used() -> None:
    programs = {path.relative_to(EDGEKD).as_posix() for ending in ("c", "cpp") for path in EDGEKD.rglob(f"*.{ending}")}
    assert programs == {"devices/count_instructions.c", "release/device/predict.cpp"}
    assert "devices/count_instructions.c" in closure("edgekd.devices.qemu")
    assert "release/device/predict.cpp" in closure("edgekd.stages.release")


def test_closures_cost_no_library_and_little_time() -> None:
    program = (
        "import sys, time; begun = time.perf_counter()\n"
        "from edgekd.closure import closure\n"
        f"for module in {MODULES!r}: closure(module)\n"
        "print(time.perf_counter() - begun)\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'onnx', 'onnxruntime', 'numpy', 'pydantic'}, loaded\n"
    )
    assert float(python(program)) < 10, "all of edgekd, on a busy machine; 0.3 s on a free one"


def test_everything_that_a_stage_loads_is_in_its_fingerprint(tmp_path: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path\n"
        "from edgekd.data.digits import Digits\n"
        "from edgekd.pipeline.fingerprint import preimage\n"
        "from edgekd.pipeline.stage import Context\n"
        "from edgekd.progress import Silent\n"
        "from edgekd.stages.data import DataStage\n"
        "stage = DataStage(Digits(use='digits'))\n"
        "stage.run(Context(Path(sys.argv[1]), Path(sys.argv[1]), stage.outputs, 0, Silent()), {})\n"
        "loaded = [module.__file__ for name, module in sys.modules.items() if name.startswith('edgekd.')]\n"
        "print(json.dumps([preimage(stage, {}, 0), loaded]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    preimage, loaded = json.loads(done.stdout)
    files = {Path(path).relative_to(EDGEKD) for path in loaded}
    deciding = {path.as_posix() for path in files if path.parts[0].removesuffix(".py") not in APART}
    assert {"stages/data.py", "data/digits.py", "data/split.py"} <= deciding, "it did something"
    assert deciding - set(keys(preimage)) == set()


def keys(value: object) -> Iterator[str]:
    """Every key in a JSON value, at any depth."""
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from keys(each)
    elif isinstance(value, list):
        for each in value:
            yield from keys(each)
