"""Signed manifests: ed25519 over the manifest's bytes, which hold the digest of every other file.

Keys are files as OpenSSH and OpenSSL write them; the mathematics is the `cryptography` package's.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgekd.errors import ConfigError, UsageError
from edgekd.records.signature import Signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "manifest.sig"
CONTEXT = b"edgekd bundle manifest 1\0"
"""Signed in front of the manifest: a signature made for anything else means nothing here."""
MAKE_KEY = "make one: ssh-keygen -t ed25519 -N '' -f release-key"


def sign(folder: Path, key: Path) -> Signature:
    """The signature of a bundle, written into it; `key`: the file of a private key.

    Raises:
        UsageError: the key cannot be used, or the `cryptography` package is missing.
        ConfigError: there is no manifest, or the signature cannot be written.
    """
    private = _private_key(key)
    content = _manifest(folder)
    made = Signature(
        key=_fingerprint(private.public_key()),
        signature=base64.b64encode(private.sign(CONTEXT + content)).decode(),
    )
    part = folder / f".{SIGNATURE}.part"
    try:
        part.write_text(made.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
        part.replace(folder / SIGNATURE)
    except OSError as error:
        raise ConfigError(f"cannot write {folder / SIGNATURE}: {error.strerror}") from error
    return made


def signature_problems(folder: Path, key: Path) -> list[str]:
    """What is wrong with a bundle's signature, for one who trusts `key`, the file of a public key.

    Raises:
        UsageError: the key cannot be used, or the `cryptography` package is missing.
        ConfigError: there is no manifest.
    """
    public = _public_key(key)
    content = _manifest(folder)
    path = folder / SIGNATURE
    if path.is_symlink() or not path.is_file():
        return [f"{SIGNATURE}: the bundle is not signed"]
    try:
        found = Signature.model_validate_json(path.read_bytes())
        signature = base64.b64decode(found.signature, validate=True)
    except (OSError, ValidationError, ValueError):
        return [f"{SIGNATURE}: not a signature of schema 1"]
    if found.key != _fingerprint(public):
        return [f"{SIGNATURE}: signed with another key ({found.key[:16]}..., {_fingerprint(public)[:16]}... was given)"]
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, CONTEXT + content)
    except InvalidSignature:
        return [f"{SIGNATURE}: the signature is wrong: the manifest was changed after it was signed"]
    return []


def _manifest(folder: Path) -> bytes:
    path = folder / "manifest.json"
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="give the folder of a bundle") from error


def _private_key(path: Path) -> Ed25519PrivateKey:
    content = _key_file(path)
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise _no_cryptography() from None
    openssh = b"OPENSSH PRIVATE KEY" in content
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        key = load(content, password=None)
    except TypeError:
        raise UsageError(f"{path} is protected with a passphrase", hint="use a key without; " + MAKE_KEY) from None
    except Exception as error:  # noqa: BLE001 - what the loaders raise shares no base
        if "encrypted" in str(error):
            raise UsageError(f"{path} is protected with a passphrase", hint="use a key without; " + MAKE_KEY) from None
        raise UsageError(f"{path} is not a private key (OpenSSH or PEM)", hint=MAKE_KEY) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is not an ed25519 key", hint=MAKE_KEY)
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    content = _key_file(path)
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise _no_cryptography() from None
    pem = b"-----BEGIN" in content
    try:
        key = serialization.load_pem_public_key(content) if pem else serialization.load_ssh_public_key(content.strip())
    except Exception:  # noqa: BLE001 - what the loaders raise shares no base
        hint = "give the public half, for example release-key.pub"
        raise UsageError(f"{path} is not a public key (OpenSSH or PEM)", hint=hint) from None
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path} is not an ed25519 key", hint=MAKE_KEY)
    return key


def _key_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint=MAKE_KEY) from error


def _fingerprint(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _no_cryptography() -> UsageError:
    return UsageError("signatures need the cryptography package", hint="python -m pip install 'edgekd[sign]'")
