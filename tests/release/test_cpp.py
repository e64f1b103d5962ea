# ruff: noqa: F401, F811 - fixtures of another file
"""predict.cpp as it is written; test_bundle_cpp builds and runs it."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from edgekd.records.bundle import SessionSettings
from edgekd.release.bundle import BundleInputs, build_bundle
from edgekd.release.cpp import LEVELS, cpp_string
from edgekd.release.verify import verify

from .toolchain import COMMAND, WARNINGS, compiled, compiler

AWKWARD = (
    'say "cat"',
    "back\\slash",
    "two\nlines",
    "??=??/",
    "\\x41\\101\\",
    "Käse 🧀",
    "1\x002",
    "\x7f\x1b\t9",
    '"sv, "x',
    "// */ %s {}",
    "",
)


def test_the_same_contract_gives_the_same_source_and_its_head_says_how_to_build_it(
    inputs: BundleInputs, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        build_bundle(inputs, tmp_path / name)
    source = (tmp_path / "one" / "predict.cpp").read_bytes()

    assert source == (tmp_path / "two" / "predict.cpp").read_bytes()
    assert source.isascii()
    assert f"// Build:  {COMMAND}\n".encode() in source


def test_a_changed_source_is_found(bundle: Path) -> None:
    source = bundle / "predict.cpp"
    source.write_text(source.read_text().replace("THREADS = 1", "THREADS = 2"))

    assert verify(bundle) == ["predict.cpp: its content was changed"]


def test_the_shipped_session_is_written_down(bundle: Path) -> None:
    source = (bundle / "predict.cpp").read_text()

    for line in (
        'constexpr const char* PROVIDER = "CPUExecutionProvider";',
        "constexpr int THREADS = 1;",
        "constexpr ExecutionMode EXECUTION = ORT_SEQUENTIAL;",
        "constexpr GraphOptimizationLevel OPTIMISATION = ORT_ENABLE_ALL;",
        '    {"session.intra_op.allow_spinning", "0"},',
        '    {"session.inter_op.allow_spinning", "0"},',
        '    {"session.use_env_allocators", "0"},',
    ):
        assert f"{line}\n" in source


def test_every_level_of_optimisation_has_a_name() -> None:
    assert set(LEVELS) == set(get_args(SessionSettings.model_fields["optimisation"].annotation))


@given(st.text() | st.text(alphabet='"\\?/=01x\n\0é'))
def test_a_literal_is_printable_ascii_without_trigraphs_and_means_the_text(text: str) -> None:
    literal = cpp_string(text)

    assert re.fullmatch(r'"([ !#->@-\[\]-~]|\\[0-7]{3})*"', literal)
    assert ast.literal_eval(f"b{literal}") == text.encode()  # Python's octal digits are those of C++


def test_a_compiler_reads_any_text_as_it_was(compiler: str, tmp_path: Path) -> None:
    literals = ", ".join(f"{cpp_string(text)}sv" for text in AWKWARD)
    (tmp_path / "text.cpp").write_text(
        "#include <cstdio>\n#include <string_view>\nusing namespace std::string_view_literals;\n"
        f"int main() {{ for (auto text : {{{literals}}}) std::fwrite(text.data(), 1, text.size() + 1, stdout); }}\n"
    )
    # C++17 has no trigraphs any more, but compilers still can be asked for them
    compiled([compiler, "-std=c++17", "-trigraphs", *WARNINGS, "text.cpp", "-o", "text"], tmp_path)

    done = subprocess.run([tmp_path / "text"], capture_output=True, check=True)
    assert done.stdout == b"".join(text.encode() + b"\0" for text in AWKWARD)
