# ruff: noqa: F401, F811 - fixtures of another file
"""predict.cpp and its headers as they are written; test_bundle_cpp builds and runs them."""

from __future__ import annotations

import ast
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.closure import closure
from edgekd.data.modalities.base import source_of
from edgekd.release.bundle import BundleInputs, build_bundle
from edgekd.release.cpp import SOURCE, cpp_headers, cpp_string
from edgekd.release.verify import verify

from .conftest import evidence
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


def test_the_source_is_the_same_in_every_bundle_and_its_head_says_how_to_build_it(
    bundle: Path, vector_bundle: Path
) -> None:
    source = (bundle / "predict.cpp").read_bytes()

    assert source == (vector_bundle / "predict.cpp").read_bytes()
    assert source == SOURCE.read_bytes()
    assert f"// Build:  {COMMAND}\n".encode() in source
    assert (bundle / "inputs.h").read_bytes() == source_of("image").with_suffix(".h").read_bytes()
    assert (vector_bundle / "inputs.h").read_bytes() == source_of("vector").with_suffix(".h").read_bytes()


def test_every_program_counts_as_code_that_makes_a_bundle() -> None:
    programs = {"predict.py", "verify.py", "predict.cpp"}

    assert {f"release/device/{name}" for name in programs} | {"agent/options.py"} <= set(
        closure("edgekd.release.bundle")
    )


def test_the_same_contract_gives_the_same_constants_in_ascii(inputs: BundleInputs, tmp_path: Path) -> None:
    contract = inputs.contract.model_copy(update={"classes": ("Käse", "🧀")})
    for name in ("one", "two"):
        build_bundle(replace(inputs, contract=contract), tmp_path / name)
    header = (tmp_path / "one" / "model.h").read_bytes()

    assert header == (tmp_path / "two" / "model.h").read_bytes()
    assert header.isascii()


@pytest.mark.parametrize("name", ["predict.cpp", "model.h", "inputs.h"])
def test_a_changed_source_is_found(name: str, bundle: Path) -> None:
    (bundle / name).write_text((bundle / name).read_text().replace("constexpr", "CONSTEXPR"))

    assert verify(bundle) == [f"{name}: its content was changed"]


def test_every_target_is_written_down_in_the_order_of_the_manifest_with_its_model_and_session(
    two_models: BundleInputs, tmp_path: Path
) -> None:
    options = {"session.disable_quant_qdq": "0", "session.use_env_allocators": "0"}
    targets = {"board": evidence("int8_weights", threads=3, options=options), "local": evidence(spinning=True)}
    build_bundle(replace(two_models, targets=targets), tmp_path / "b")
    _, board, local = re.split(r"constexpr SessionOption", (tmp_path / "b" / "model.h").read_text())
    local, table = local.split("constexpr Target TARGETS[]")
    first, second = re.findall(r"    \{\n(.*?)    \},\n", table, flags=re.DOTALL)

    for line in (
        '    {"session.intra_op.allow_spinning", "0"},',
        '    {"session.inter_op.allow_spinning", "0"},',
        '    {"session.disable_quant_qdq", "1"},',
        '    {"session.use_env_allocators", "0"},',
    ):
        assert f"{line}\n" in board
    assert board.count("disable_quant_qdq") == 1
    assert '    {"session.intra_op.allow_spinning", "1"},\n' in local
    assert "disable_quant_qdq" not in local
    assert [line.strip() for line in first.splitlines()] == [
        '{"board", 5},',
        '"int8_weights.onnx",',
        "1,  // batch",
        '"CPUExecutionProvider",',
        "3,  // threads",
        "1,  // inter_op_threads",
        "ORT_SEQUENTIAL,",
        "ORT_ENABLE_ALL,",
        "SESSION_0,",
        "std::size(SESSION_0),",
    ]
    assert [line.strip() for line in second.splitlines()][:2] == ['{"local", 5},', '"fp32.onnx",']
    assert "SESSION_1" in second


def test_without_a_header_there_is_no_program_in_c_plus_plus(
    inputs: BundleInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekd.release.cpp.cpp_header", lambda name: None)
    build_bundle(inputs, tmp_path / "b")

    assert not [path.name for path in (tmp_path / "b").iterdir() if path.suffix in (".cpp", ".h")]
    assert "predict.cpp" not in (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert verify(tmp_path / "b") == []


def test_several_inputs_have_no_headers(inputs: BundleInputs, tmp_path: Path) -> None:
    manifest = build_bundle(inputs, tmp_path / "b")
    (spec,) = manifest.contract.inputs
    two = manifest.contract.model_copy(update={"inputs": (spec, spec.model_copy(update={"name": "second"}))})

    assert set(cpp_headers(manifest)) == {"model.h", "inputs.h"}
    assert cpp_headers(manifest.model_copy(update={"contract": two})) == {}


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
