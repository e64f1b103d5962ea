"""Code of the user's own that does anything, in its import or when it is called, and gives anything back.

What it raises must be one line that names its file, with a documented exit code; what it changes of the process must be
gone when the command has ended, and must not have been in the way of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from hypothesis import strategies as st

from edgekd.errors import EdgekdError
from tests.fuzz.apart import REPOSITORY, Ended, run_apart
from tests.fuzz.place import Area, Draw, Place, WrongError

PATIENCE_S = 240  # beside other work
REFUSALS = (2, 4)

TOP = """\
import os, sys, warnings
import numpy as np
import torch
from torch import nn


class Own(Exception): pass
class OwnBase(BaseException): pass
class OwnInterruption(KeyboardInterrupt): pass
class OwnExit(SystemExit): pass
class Wordless(Exception):
    def __str__(self): raise {inner}
    __repr__ = __str__
class Worse(Exception):
    def __str__(self): raise SystemExit(0)
    __repr__ = __str__
class NoText(Exception):
    def __str__(self): return 3


def boom(*_args, **_options):
    raise {ending}


def hostile(base, *names):
    return type('Hostile' + base.__name__, (base,), {{name: boom for name in names}})


def seen_as(_self):
    raise {ending}


class Faceless:
    __class__ = property(seen_as)


def good():
    rows = np.arange(240, dtype=np.float32).reshape(60, 4) % 7
    labels = np.arange(60) % 2
    return dict(train_features=rows, train_labels=labels, test_features=rows[:20] + 1, test_labels=labels[:20],
                classes=['odd', 'even'])


class Net(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.linear, self.calls = nn.Linear(4, classes), 0

    def forward(self, rows):
        self.calls += 1
        if self.calls > {after}:
            {forward}
        return self.linear(rows)


def load():
    {load}
    return given


def build(contract):
    {build}
    return net


def term(lesson):
    {term}
    return value


{at_import}
"""

ENDINGS = (
    "Own('no\\nsecond line')", "OwnBase('all')", "OwnInterruption", "OwnExit(0)", "SystemExit(0)", "SystemExit('text')",
    "SystemExit(70)", "SystemExit(None)", "SystemExit(10**30)", "KeyboardInterrupt", "KeyboardInterrupt('me')",
    "GeneratorExit", "StopIteration", "StopAsyncIteration", "RecursionError", "Wordless", "Worse", "NoText",
    "ExceptionGroup('many', [Own(), OwnExit(3)])", "BaseExceptionGroup('many', [KeyboardInterrupt()])",
    "UnicodeDecodeError('utf-8', b'x', 0, 1, 'odd')", "OSError(28, 'No space left on device')",
    "ImportError('no', name='torch')", "ModuleNotFoundError('no', name='transformers')", "SyntaxError('mine')",
    "SyntaxError('mine', ('/nowhere.py', 3, 1, 'x'))", "BrokenPipeError()", "FileNotFoundError(2, 'gone', 'x')",
    "AssertionError", "KeyError('\\x1b[2J')", "Own('\\ud800')", "Own('x' * 100_000)", "Own(b'\\xff')", "TimeoutError",
    "Own('\\x00\\u202e')", "torch.cuda.OutOfMemoryError()", "RuntimeError('CUDA error')", "ValueError()", "EOFError",
    "NotImplementedError", "Warning('x')", "LookupError(boom)", "ConnectionResetError", "PermissionError(13, 'no')",
)  # fmt: skip

CHANGES = (
    "os.chdir('..')", "os.chdir('/')", "os.chdir({outside!r})", "sys.stdout = None", "sys.stderr = None",
    "sys.stdin = None", "sys.stderr = open(os.devnull, 'w')", "warnings.simplefilter('error')",
    "warnings.filters.clear()", "warnings.resetwarnings()", "torch.set_num_threads(1)", "torch.set_num_threads(7)",
    "np.seterr(all='raise')", "np.set_printoptions(precision=1)", "sys.path.clear()", "sys.path.insert(0, 'x')",
    "sys.path = ['x']", "sys.path = None", "os.environ.clear()", "os.environ['EDGEKD_STORE'] = 'nowhere'",
    "os.environ['TMPDIR'] = {outside!r}", "os.environ['XDG_CACHE_HOME'] = {outside!r}", "del os.environ['PATH']",
    "os.environ['PYTHONPATH'] = 'x'", "os.environ['COLUMNS'] = '3'", "sys.setrecursionlimit(120)",
    "sys.setrecursionlimit(10**6)", "torch.set_default_dtype(torch.float64)", "torch.set_default_device('meta')",
    "torch.use_deterministic_algorithms(True)", "torch.set_grad_enabled(False)", "torch.manual_seed(3)",
    "np.random.seed(3)", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "import logging; logging.disable(50)", "import logging; logging.basicConfig(level=0)",
    "import locale; locale.setlocale(locale.LC_ALL, 'C')", "sys.settrace(lambda *_: None)", "import gc; gc.disable()",
    "sys.argv.clear()", "print('x' * 100_000)", "os.write(1, b'')", "import tempfile; tempfile.tempdir = 'nowhere'",
    "sys.excepthook = boom", "sys.displayhook = None", "import builtins; builtins.mine = 3",
    "sys.modules.pop('edgekd.errors', None)", "sys.modules['json'] = None", "sys.meta_path.clear()",
    "import multiprocessing; multiprocessing.set_start_method('spawn', force=True)",
    "import socket; socket.setdefaulttimeout(0.001)", "import random; random.seed(0)",
    "import decimal; decimal.getcontext().prec = 1", "import time; time.sleep(0.01)",
)  # fmt: skip
"""A process in which one of these was done, and nothing else, is expected to go on as if it had not been."""

HARSH = (
    "sys.modules.pop('edgekd.errors', None)", "sys.modules['json'] = None", "sys.meta_path.clear()",
)  # fmt: skip
"""Where these end in an error, one line is enough."""

ARRAYS = (
    "None", "3", "'abc'", "b'abc'", "[]", "[[]]", "[[1, 2], [3]]", "np.full((60, 4), np.nan)",
    "np.full((60, 4), np.inf)",
    "np.full((60, 4), 1e300)", "np.array([[object()] * 4] * 60)", "np.array([[1], [2, 3]], dtype=object)",
    "-np.ones(60, int)", "np.full(60, 10**9)", "np.full(60, 2**63, np.uint64)", "np.full(60, -2**63)",
    "[10**400] * 60", "np.arange(60) * 1j", "np.zeros((0, 4))", "np.zeros((60, 0))", "np.zeros((60, 4, 4, 4))",
    "np.zeros(())", "iter([1, 2])", "(each for each in range(60))", "np.array(['a'] * 60)", "np.array(['1'] * 60)",
    "np.zeros(60, 'M8[s]')", "np.ma.masked_all((60, 4))", "np.matrix(np.ones((60, 4)))", "torch.zeros(60, 4)",
    "torch.zeros(60, 4, requires_grad=True)", "torch.zeros(60, 4, device='meta')",
    "torch.zeros(60, dtype=torch.bfloat16)",
    "range(60)", "[True, False] * 30", "np.zeros(60, bool)", "memoryview(b'ab' * 30)", "boom", "Faceless()", "set()",
    "{0: 1}", "np.zeros(60, [('a', 'i4'), ('b', 'f4')])", "np.float32(3)", "np.zeros((60, 4), np.float16)",
    "np.zeros((4, 60)).T", "np.broadcast_to(np.float32(0), (60, 4))", "np.zeros((60, 4), '>f8')", "'\\ud800' * 60",
    "['\\ud800', 'b']", "['a', 'a']", "['a', 3]", "('', 'b')", "['a' * 10_000, 'b']", "[None, None]",
    "{'a': 1, 'b': 2}",
    "np.array(['a', 'b'])", "['\\x1b[2J', '\\u202e']", "[b'a', b'b']", "['a\\nb', 'c']", "[1.5, float('nan')]",
    "hostile(str, '__str__')('ab')", "[hostile(str, '__str__', 'strip', 'encode')('a'), 'b']",
    "[hostile(str, '__eq__', '__hash__')('a'), 'b']", "hostile(list, '__len__', '__iter__')(['a', 'b'])",
    "hostile(list, '__getitem__')(['a', 'b'])", "hostile(np.ndarray, '__len__')((60, 4))",
    "hostile(np.ndarray, '__getitem__', 'astype')((60, 4))", "hostile(np.ndarray, '__array_finalize__')((60, 4))",
    "hostile(np.ndarray, '__array_ufunc__')((60, 4))", "hostile(np.ndarray, '__array_function__')((60, 4))",
    "hostile(object, '__array__')()", "hostile(object, '__len__', '__iter__', '__getattr__')()",
    "hostile(int, '__index__', '__int__', '__lt__')(1)", "hostile(object, '__repr__', '__str__', '__eq__')()",
)  # fmt: skip

WHOLE = (
    "None", "3", "[]", "{}", "boom", "Faceless()", "(each for each in good())", "list(good().items())", "good",
    "hostile(dict, '__getitem__')(good())", "hostile(dict, '__contains__')(good())", "hostile(dict, 'keys')(good())",
    "hostile(dict, 'get')(good())", "hostile(dict, '__iter__', '__len__')(good())", "hostile(object, '__getattr__')()",
    "{**good(), **{str(n): n for n in range(1000)}}", "{**good(), 3: 4}",
    "__import__('types').MappingProxyType(good())",
    "type('Late', (dict,), {'__missing__': lambda self, key: good()[key]})()",
)  # fmt: skip

TENSORS = (
    "None", "3", "'x'", "[]", "torch.zeros(3)", "torch.zeros(32, 3)", "torch.zeros(2, 2)", "torch.tensor(float('nan'))",
    "torch.tensor(float('inf'))", "torch.tensor(1.0)", "torch.tensor(1)", "torch.tensor(1j)", "torch.tensor(True)",
    "torch.tensor(1.0, device='meta')", "torch.tensor(1.0, dtype=torch.float64)", "value * 1e38",
    "value * float('nan')",
    "value.detach()", "value.half()", "value.to(torch.bfloat16)", "value.reshape(1, 1)", "value.repeat(2)", "[value]",
    "value.to_sparse()", "value.numpy", "value.tolist", "(value,)", "{'logits': value}", "Faceless()", "boom",
    "(value for _ in range(3))", "torch.zeros(0)", "value[..., :0]", "value.to(torch.int64)",
    "value.to(torch.complex64)",
    "value.as_subclass(hostile(torch.Tensor, '__torch_function__'))", "hostile(object, '__getattr__')()",
    "value.as_subclass(hostile(torch.Tensor, 'detach', 'reshape', 'numel'))", "nn.Parameter(torch.tensor(1.0))",
    "type('Answer', (), {'logits': value})()", "type('Answer', (), {'logits': property(boom)})()",
    "type('Answer', (), {'logits': None})()", "value + torch.randn(())", "value.mean().requires_grad_()",
)  # fmt: skip

NETS = (
    "None", "3", "Net", "Net(3)", "Net(1)", "Net(0)", "nn.Identity()", "nn.Linear(3, 2)", "nn.Linear(4, 2).half()",
    "nn.Linear(4, 2).double()", "nn.Linear(4, 2, device='meta')", "nn.Sequential()", "lambda rows: rows", "boom",
    "nn.LazyLinear(2)", "Net().eval()", "Net().requires_grad_(False)", "torch.jit.script(nn.Linear(4, 2))",
    "nn.DataParallel(Net())", "nn.ModuleList([Net()])", "Faceless()", "hostile(Net, 'parameters')()",
    "hostile(Net, 'state_dict')()", "hostile(Net, 'train')()", "hostile(Net, 'eval')()", "hostile(Net, 'modules')()",
    "hostile(Net, 'named_modules')()", "hostile(Net, 'load_state_dict')()", "hostile(Net, '__deepcopy__')()",
    "hostile(Net, '__call__')()", "hostile(Net, 'named_parameters', 'buffers')()", "hostile(Net, '_apply', 'to')()",
    "hostile(Net, '__setattr__')()", "hostile(Net, '__len__', '__bool__', '__eq__')()", "hostile(nn.Module)()",
    "hostile(Net, '__getstate__', '__reduce_ex__')()", "hostile(Net, '__repr__', '__str__')()", "nn.Dropout(1.0)",
    "nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Softmax(1))", "nn.BatchNorm1d(4)", "nn.Embedding(4, 2)",
    "nn.Sequential(net, nn.Linear(2, 2), net.linear)", "nn.LSTM(4, 2)", "torch.compile(Net())",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """role: whose callable it is. at: `import` or `call`. statement: what it does there; gives: what it returns."""

    role: str
    at: str
    statement: str
    gives: str
    ending: str
    inner: str
    after: int

    @property
    def raises(self) -> bool:
        return self.statement.startswith("boom")

    @property
    def honest(self) -> bool:
        """Whether nothing is wrong with what it gives."""
        return not self.raises and not self.gives and self.statement not in HARSH


def cases(draw: Draw, outside: str) -> Case:
    role = draw(st.sampled_from(["load", "load", "load", "build", "term", "forward"]))
    kind = draw(st.sampled_from(["raise", "change", "give", "give"]))
    ending, inner = draw(st.sampled_from(ENDINGS)), draw(st.sampled_from(["Own", "OwnBase", "SystemExit(3)", "Worse"]))
    at, statement, gives = "call", "pass", ""
    if kind == "raise":
        statement = "boom()"
    elif kind == "change":
        statement = draw(st.sampled_from(CHANGES)).format(outside=outside)
    elif role == "load":
        gives = draw(st.sampled_from(WHOLE))
        if draw(st.integers(0, 3)):
            key = draw(st.sampled_from(["train_features", "train_labels", "test_features", "test_labels", "classes"]))
            gives = f"{{**good(), '{key}': {draw(st.sampled_from(ARRAYS))}}}"
    else:
        gives = draw(st.sampled_from(NETS if role == "build" else TENSORS))
    if not gives and draw(st.booleans()):
        at = "import"
    return Case(role, at, statement, gives, ending, inner, draw(st.sampled_from([0, 0, 2, 5])))


def module_of(case: Case) -> str:
    def body(role: str, name: str, honest: str) -> str:
        if case.role != role:
            return f"{name} = {honest}"
        doing = case.statement if case.at == "call" else "pass"
        wrong = f"\n    {name} = {case.gives}" if case.gives else ""
        return f"{doing}\n    {name} = {honest}{wrong}"

    forward = "pass"
    if case.role == "forward":
        forward = f"value = self.linear(rows); return {case.gives}" if case.gives else case.statement
        forward = forward if case.at == "call" else "pass"
    return TOP.format(
        ending=case.ending,
        inner=case.inner,
        after=case.after,
        forward=forward,
        load=body("load", "given", "good()"),
        build=body("build", "net", "Net(len(contract.classes))"),
        term=body("term", "value", "nn.functional.cross_entropy(lesson.student.logits, lesson.batch.labels)"),
        at_import=case.statement if case.at == "import" else "",
    )


PIPELINE = """\
name: own
data: {{use: '{data}', modality: vector, validation: 0.3}}
teacher: {{model: {{use: '{teacher}'}}, epochs: 1, min_accuracy: 0}}
student: {{model: {{use: mlp, width: 4}}}}
distill: {{epochs: 1, losses: [{{use: kd}}{loss}]}}
targets: [here.yaml]
release: {{max_accuracy_drop: 1.0}}
"""


def own_code(draw: Draw, place: Place) -> None:
    case = cases(draw, str(place.outside / "folder"))
    until = "data" if case.role == "load" else draw(st.sampled_from(["preflight", "preflight", "train@teacher"]))
    if case.role == "term" and until == "train@teacher":
        until = "train@student"
    try_case(case, until, place)


def try_case(case: Case, until: str, place: Place) -> None:
    """
    Raises:
        WrongError: the case is a finding.
        EdgekdError: it was refused in one line.
    """
    folder = place.inside / "work"
    temporary = place.inside / "temporary"
    for each in (folder, temporary):
        each.mkdir()
    (folder / "here.yaml").write_text("name: here\ndevice: local\n")
    (folder / "own.py").write_text(module_of(case), encoding="utf-8", errors="surrogatepass")
    (folder / "honest.py").write_text(TOP.partition("\ndef load")[0].format(
        ending="Own", inner="Own", after=9, forward="pass") + "\ndef load():\n    return good()\n")  # fmt: skip
    (folder / "own.yaml").write_text(
        PIPELINE.format(
            data="own.py:load" if case.role == "load" else "honest.py:load",
            teacher="own.py:build" if case.role in ("build", "forward") else "mlp",
            loss=", {use: 'own.py:term', labels_only: true}" if case.role == "term" else "",
        )
    )
    (folder / "honest.yaml").write_text(PIPELINE.format(data="honest.py:load", teacher="mlp", loss=""))
    environment = {
        **os.environ,
        "EDGEKD_STORE": str(place.inside / "store"),
        "XDG_CACHE_HOME": str(place.inside / "cache"),
        "TMPDIR": str(temporary),
        "TORCHINDUCTOR_CACHE_DIR": str(place.inside / "cache"),
        "PYTHONPATH": str(REPOSITORY),
    }
    ended = run_apart(
        [["run", "own.yaml", "--until", until], ["run", "honest.yaml", "--until", "data"]],
        folder,
        place.inside / "said",
        environment,
        PATIENCE_S,
    )
    try:
        judge(case, ended)
        if left := sorted(each.name for each in temporary.iterdir()):
            raise WrongError(f"in the folder for temporary files there is left: {left}")
    except WrongError as wrong:
        told = f"{case.role} at {case.at}: {case.statement} {case.gives} {case.ending} --until {until}: {wrong}"
        raise WrongError(told) from None


def judge(case: Case, ended: list[Ended]) -> None:
    first = ended[0]
    said = f"{first.said}{first.errors}"
    if first.code is None:
        raise WrongError("it does not end")
    if first.code < 0 or first.code not in (0, *REFUSALS):
        raise WrongError(f"exit code {first.code}: {said[-600:]}")
    if "Traceback" in said and case.statement != "print":
        raise WrongError(f"a traceback: {said[-300:]}")
    if len(ended) < 2 or ended[1].code != 0:
        raise WrongError(f"the next command ends with {[each.code for each in ended[1:]]}: {ended[-1].errors[-300:]}")
    if first.changed:
        raise WrongError(f"it stays changed: {', '.join(first.changed)}"[:500])
    if case.honest and first.code:
        raise WrongError(f"nothing is wrong with it, and it ends with {first.code}: {said[-300:]}")
    if first.code and not any("own.py" in line for line in first.errors.splitlines()):
        raise WrongError(f"no line names the file: {first.errors[-400:]}")
    if first.code:
        raise EdgekdError(first.errors.splitlines()[-1] if first.errors.strip() else "")


AREA = Area("own code", own_code, longest_s=2 * PATIENCE_S, tried=25)
