from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from edgekd.errors import ConfigError
from edgekd.release.archive import unpack_archive, write_archive
from edgekd.release.verify import verify


def test_an_archive_unpacks_to_the_same_bundle(bundle: Path, tmp_path: Path) -> None:
    write_archive(bundle, tmp_path / "b.zip")
    unpack_archive(tmp_path / "b.zip", tmp_path / "unpacked")

    assert verify(tmp_path / "unpacked") == []


def test_times_and_permissions_do_not_change_the_bytes(bundle: Path, tmp_path: Path) -> None:
    write_archive(bundle, tmp_path / "one.zip")
    os.utime(bundle / "fp32.onnx", (1e9, 1e9))
    (bundle / "predict.py").chmod(0o700)
    write_archive(bundle, tmp_path / "two.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def packed(path: Path, *entries: tuple[str, int]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in entries:
            entry = zipfile.ZipInfo("placeholder")
            entry.filename = name  # as an attacker writes it: the constructor would clean it
            entry.external_attr = mode << 16
            archive.writestr(entry, "/etc/passwd")
    return path


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:\\evil", "..\\evil", "a/./b"])
def test_a_path_that_leaves_the_folder_writes_nothing(name: str, tmp_path: Path) -> None:
    archive = packed(tmp_path / "b.zip", ("fine.txt", 0), (name, 0))

    with pytest.raises(ConfigError, match="leaves the folder"):
        unpack_archive(archive, tmp_path / "out" / "in")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b.zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "b.zip", ("link", stat.S_IFLNK | 0o777))

    with pytest.raises(ConfigError, match="a link or a device"):
        unpack_archive(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "b.zip", ("a", 0), ("a", 0))

    with pytest.raises(ConfigError, match="twice"):
        unpack_archive(archive, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(50)])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(content)

    with pytest.raises(ConfigError, match="not a whole zip archive"):
        unpack_archive(tmp_path / "b.zip", tmp_path / "out")


def test_a_flipped_byte_is_found_while_unpacking(bundle: Path, tmp_path: Path) -> None:
    write_archive(bundle, tmp_path / "b.zip")
    content = bytearray((tmp_path / "b.zip").read_bytes())
    content[content.index(b"# pets") + 3] ^= 1
    (tmp_path / "b.zip").write_bytes(content)

    with pytest.raises(ConfigError, match=r"not a whole zip archive: Bad CRC-32"):
        unpack_archive(tmp_path / "b.zip", tmp_path / "out")


def test_an_encrypted_entry_is_told(tmp_path: Path) -> None:
    content = bytearray(packed(tmp_path / "b.zip", ("a", 0)).read_bytes())
    content[content.index(b"PK\x03\x04") + 6] |= 1  # the flag of an entry that takes a password
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(content)

    with pytest.raises(ConfigError, match="not a whole zip archive: .*encrypted"):
        unpack_archive(tmp_path / "b.zip", tmp_path / "out")


def test_an_archive_that_is_damaged_anywhere_unpacks_or_is_told_in_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for name in ("a.txt", "golden/b.txt"):
            made.writestr(name, name * 50)
    whole = (tmp_path / "b.zip").read_bytes()
    for at in range(len(whole)):
        content = bytearray(whole)
        content[at] ^= 0x5F
        (tmp_path / "b.zip").write_bytes(content)
        try:
            unpack_archive(tmp_path / "b.zip", tmp_path / f"{at}")
        except ConfigError as refused:
            assert "\n" not in str(refused)  # noqa: PT017 - most are refused, some damage does not matter


def test_a_folder_that_exists_is_not_unpacked_into(bundle: Path, tmp_path: Path) -> None:
    write_archive(bundle, tmp_path / "b.zip")

    with pytest.raises(ConfigError, match="exists already"):
        unpack_archive(tmp_path / "b.zip", bundle)


def test_a_missing_archive_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot unpack"):
        unpack_archive(tmp_path / "none.zip", tmp_path / "out")
