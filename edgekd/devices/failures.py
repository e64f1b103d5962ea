"""What went wrong on the way to a device, in one line with what to do about it."""

from __future__ import annotations

import errno

from pydantic import JsonValue

from edgekd.devices.channel import Answer, LostError, field
from edgekd.errors import TargetError
from edgekd.visible import visible

OLDEST_PYTHON = (3, 10)
NOT_FOUND = (126, 127)  # how a shell says that there is no such program, or that it is none
SSH_FAILED = 255
LONGEST_REASON = 300

REASONS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that ssh knows",
        "if the device was set up anew: ssh-keygen -R HOST, and connect once by hand; if not, somebody is in between",
    ),
    (
        "Host key verification failed",
        "ssh does not know its host key",
        "connect once by hand and compare the fingerprint: ssh HOST",
    ),
    ("Permission denied", "it accepts none of your keys", "ssh-copy-id HOST, or start ssh-agent; no password is asked"),
    ("Could not resolve hostname", "the name is not known", "check device.host, or give the address"),
    ("Connection refused", "it refuses the connection", "is an ssh server running there, on this port?"),
    ("timed out", "it does not answer", "is it on, and in this network?"),
    ("No route to host", "there is no way to it", "is it on, and in this network?"),
    ("Bad configuration", "ssh does not take its configuration", "check device.config, or ~/.ssh/config"),
)  # fmt: skip


def unreachable(label: str, python: str, error: LostError | TimeoutError) -> TargetError:
    """There was no greeting."""
    if isinstance(error, TimeoutError):
        return TargetError(f"{label}: connected, but nothing comes back", hint=f"try by hand: ssh {label} {python} -V")
    last = (
        visible(error.errors.splitlines()[-1], LONGEST_REASON) if error.errors else f"ssh ended with code {error.code}"
    )
    if error.code in NOT_FOUND:
        return TargetError(
            f"{label}: there is no {python} on it", hint="on the device: sudo apt install python3 python3-venv"
        )
    if error.code == SSH_FAILED:
        for sign, what, hint in REASONS:
            if sign in error.errors:
                return TargetError(f"{label}: {what} ({last})", hint=hint.replace("HOST", label))
        return TargetError(f"{label}: ssh cannot connect: {last}", hint=f"try by hand: ssh {label}")
    return TargetError(f"{label}: {python} does not run there: {last}", hint=f"try by hand: ssh {label} {python} -V")


def broken(label: str, error: LostError | TimeoutError) -> TargetError:
    """The line broke in the middle."""
    said = error.errors.splitlines() if isinstance(error, LostError) else []
    reason = visible(said[-1], LONGEST_REASON) if said else "nothing comes back any more"
    return TargetError(f"{label}: the connection broke: {reason}", hint="the same command goes on with what is missing")


def lacking(label: str, greeting: Answer) -> TargetError | None:
    """What the device's Python lacks, and the command that installs it."""
    version = tuple(part for part in _parts(greeting, "version") if isinstance(part, int))
    python = field(greeting, "python", str)
    if version < OLDEST_PYTHON:
        found, wanted = (".".join(map(str, each)) for each in (version, OLDEST_PYTHON))
        return TargetError(
            f"{label}: {python} is Python {found}, {wanted} or newer is needed",
            hint="install a newer one and name it in the target file: device.python",
        )
    missing = " ".join(str(part) for part in _parts(greeting, "missing"))
    if not missing:
        return None
    if greeting.get("managed") is True:
        hint = (
            f"on the device: {python} -m venv ~/edgekd && ~/edgekd/bin/pip install numpy onnxruntime; "
            "then in the target file: device.python: ~/edgekd/bin/python"
        )
    else:
        hint = f"on the device: {python} -m pip install {missing}"
    return TargetError(f"{label}: {python} lacks {missing.replace(' ', ' and ')}", hint=hint)


def refused(label: str, answer: Answer) -> TargetError:
    """The keeper could not do what it was asked."""
    path = f" ({visible(str(answer['path']), LONGEST_REASON)})" if answer.get("path") else ""
    hint = None
    if answer.get("errno") == errno.ENOSPC:
        hint = "free some space there, or name another place: device.folder"
    elif answer.get("errno") in (errno.EACCES, errno.EROFS, errno.EPERM):
        hint = "name a folder that you may write to: device.folder"
    return TargetError(f"{label}: {visible(str(answer['error']), LONGEST_REASON)}{path}", hint=hint)


def _parts(greeting: Answer, name: str) -> list[JsonValue]:
    value = greeting.get(name)
    if not isinstance(value, list):
        raise LostError(None, f"the device's answer has no {name}")
    return value
