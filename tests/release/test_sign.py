from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from edgekd.errors import ConfigError, UsageError
from edgekd.release.sign import CONTEXT, sign, signature_problems
from edgekd.release.verify import verify


def make_keys(folder: Path, name: str = "key", kind: str = "openssh") -> tuple[Path, Path]:
    """A key pair as a user makes it, in the given form."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / name, folder / f"{name}.pub"
    if kind == "openssh":
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" me@here\n")
    else:
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.mark.parametrize("kind", ["openssh", "pem"])
def test_a_signed_bundle_is_whole_and_its_signature_right(bundle: Path, tmp_path: Path, kind: str) -> None:
    private, public = make_keys(tmp_path, kind=kind)
    sign(bundle, private)
    assert signature_problems(bundle, public) == []
    assert verify(bundle) == []


def test_the_programs_own_check_on_the_device_takes_a_signed_bundle(bundle: Path, tmp_path: Path) -> None:
    import sys

    sign(bundle, make_keys(tmp_path)[0])
    done = subprocess.run([sys.executable, bundle / "verify.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_signature_is_refused(bundle: Path, tmp_path: Path) -> None:
    assert signature_problems(bundle, make_keys(tmp_path)[1]) == ["manifest.sig: the bundle is not signed"]


def test_another_key_is_refused_and_both_are_named(bundle: Path, tmp_path: Path) -> None:
    sign(bundle, make_keys(tmp_path)[0])
    (problem,) = signature_problems(bundle, make_keys(tmp_path, "other")[1])
    assert "signed with another key" in problem


def test_a_manifest_changed_after_signing_is_refused(bundle: Path, tmp_path: Path) -> None:
    private, public = make_keys(tmp_path)
    sign(bundle, private)
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "name": "better"}))
    (problem,) = signature_problems(bundle, public)
    assert "the manifest was changed" in problem


def test_a_signature_of_the_bare_manifest_means_nothing(bundle: Path, tmp_path: Path) -> None:
    """It could have been had for another purpose: what is signed says what it is for."""
    import base64

    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    private, public = make_keys(tmp_path)
    made = sign(bundle, private)
    bare = load_ssh_private_key(private.read_bytes(), None).sign((bundle / "manifest.json").read_bytes())  # type: ignore[call-arg]
    forged = made.model_copy(update={"signature": base64.b64encode(bare).decode()})
    (bundle / "manifest.sig").write_text(forged.model_dump_json(by_alias=True))
    assert signature_problems(bundle, public) != []
    assert CONTEXT.endswith(b"\0")


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"schema": 2}', "\x00\x01", '{"schema":1,"algorithm":"none","key":"","signature":""}']
)
def test_a_file_that_is_no_signature_is_refused(bundle: Path, tmp_path: Path, content: str) -> None:
    (bundle / "manifest.sig").write_text(content)
    assert signature_problems(bundle, make_keys(tmp_path)[1]) == ["manifest.sig: not a signature of schema 1"]


def test_a_linked_signature_is_refused(bundle: Path, tmp_path: Path) -> None:
    private, public = make_keys(tmp_path)
    sign(bundle, private)
    (bundle / "manifest.sig").rename(tmp_path / "elsewhere")
    (bundle / "manifest.sig").symlink_to(tmp_path / "elsewhere")
    assert signature_problems(bundle, public) == ["manifest.sig: the bundle is not signed"]


def test_keys_that_are_none_are_told_with_how_to_make_one(bundle: Path, tmp_path: Path) -> None:
    private, public = make_keys(tmp_path)
    (tmp_path / "text").write_text("hello")
    for wrong in (tmp_path / "none", tmp_path / "text", public):
        with pytest.raises(UsageError) as caught:
            sign(bundle, wrong)
        assert "ssh-keygen" in str(caught.value.hint)
    for wrong in (tmp_path / "none", tmp_path / "text", private):
        with pytest.raises(UsageError):
            signature_problems(bundle, wrong)
    with pytest.raises(ConfigError, match="cannot read"):
        sign(tmp_path, private)


def test_a_key_with_a_passphrase_and_one_of_another_kind_are_told(bundle: Path, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "locked"], check=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "ecdsa"], check=True)
    with pytest.raises(UsageError, match="passphrase"):
        sign(bundle, tmp_path / "locked")
    with pytest.raises(UsageError, match="not an ed25519 key"):
        sign(bundle, tmp_path / "ecdsa")
    with pytest.raises(UsageError, match="not an ed25519 key"):
        signature_problems(bundle, tmp_path / "ecdsa.pub")
