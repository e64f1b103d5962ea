"""Where Debian's packages come from: this system's apt as it is, and apt with sources of a test's own."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekd.devices import debian
from edgekd.errors import TargetError

pytestmark = pytest.mark.skipif(
    shutil.which("apt-get") is None or not debian.KEYRING.is_file(), reason="there is no apt with Debian's keys"
)

PACKAGE = "Package: pebble\nVersion: 1\nArchitecture: all\nFilename: pebble.deb\nSize: 1\nDescription: a stone\n"


@dataclass(frozen=True)
class System:
    """A configuration of apt in a folder, with archives that lie in files; edgekd's own calls of apt read it."""

    folder: Path

    def archive(self, name: str, origin: str, label: str, *suites: str) -> Path:
        """An archive of one package, for each suite, that nobody has signed."""
        for suite in suites:
            release = self.folder / name / "dists" / suite
            indices = [release / "main" / "binary-all" / "Packages", release / "main" / "source" / "Sources"]
            for index in indices:
                index.parent.mkdir(parents=True, exist_ok=True)
                index.write_text(PACKAGE)
            digest, size = hashlib.sha256(PACKAGE.encode()).hexdigest(), len(PACKAGE)
            lines = [f" {digest} {size} {index.relative_to(release)}" for index in indices]
            facts = f"Origin: {origin}\nLabel: {label}\nSuite: {suite}\nCodename: {suite}\n"
            facts += "Architectures: all\nComponents: main\nDate: Mon, 01 Jan 2024 00:00:00 UTC\nSHA256:\n"
            (release / "Release").write_text(facts + "\n".join(lines) + "\n")
        return self.folder / name

    def uses(self, *sources: str) -> None:
        """The system's sources from now on, read as `apt-get update` does."""
        (self.folder / "sources.list").write_text("".join(f"{source}\n" for source in sources))
        done = subprocess.run(["apt-get", "-q", "update"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    system = System(tmp_path / "system")
    for part in ("state/lists/partial", "cache/archives/partial"):
        (system.folder / part).mkdir(parents=True)
    (system.folder / "status").touch()
    settings = {
        "Dir::State": system.folder / "state",
        "Dir::State::status": system.folder / "status",
        "Dir::Cache": system.folder / "cache",
        "Dir::Etc::sourcelist": system.folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries::Delay": "false",
    }
    (system.folder / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(system.folder / "apt.conf"))
    return system


def test_the_mirror_is_one_that_this_systems_sources_name() -> None:
    folder = Path("/etc/apt")
    files = [folder / "sources.list", *folder.glob("sources.list.d/*.list"), *folder.glob("sources.list.d/*.sources")]
    named = " ".join(path.read_text() for path in files if path.is_file())
    if not subprocess.run(
        ["apt-get", "indextargets", "Origin: Debian"], capture_output=True, text=True, check=False
    ).stdout:
        pytest.skip("apt has no Debian archive among its sources here")
    found = debian.mirror()
    assert re.search(rf"(?<!\S){re.escape(found.archive)}/?(?!\S)", named)
    assert not found.security or re.search(rf"(?<!\S){re.escape(found.security)}/?(?!\S)", named)


def test_it_is_told_from_all_others_by_what_the_archives_say_of_themselves(system: System) -> None:
    company = system.archive("company", "Example", "Debian", "bookworm")
    ports = system.archive("backports", "Debian Backports", "Debian Backports", "bookworm-backports")
    main = system.archive("main", "Debian", "Debian", "bookworm", "bookworm-updates")
    security = system.archive("security", "Debian", "Debian-Security", "bookworm-security")
    entries = [
        (company, "bookworm"),
        (ports, "bookworm-backports"),
        (security, "bookworm-security"),
        (main, "bookworm"),
        (main, "bookworm-updates"),
    ]
    for ordered in (entries, entries[::-1]):
        system.uses(*(f"deb [trusted=yes] file:{folder} {suite} main" for folder, suite in ordered))
        assert debian.mirror() == debian.Mirror(f"file:{main}", f"file:{security}")


def test_of_two_mirrors_the_one_named_first_is_taken(system: System) -> None:
    one, other = (system.archive(name, "Debian", "Debian", "bookworm") for name in ("one", "other"))
    for first, second in ((one, other), (other, one)):
        system.uses(*(f"deb [trusted=yes] file:{folder} bookworm main" for folder in (first, second)))
        assert debian.mirror() == debian.Mirror(f"file:{first}", "")


def test_a_disk_of_debian_is_no_mirror(system: System) -> None:
    main = system.archive("main", "Debian", "Debian", "bookworm")
    system.uses(f"deb [trusted=yes] file:{main} bookworm main")
    lists = system.folder / "state" / "lists"
    (lists / "Debian-12_dists_bookworm_main_binary-all_Packages").write_text(PACKAGE)
    shutil.copyfile(main / "dists" / "bookworm" / "Release", lists / "Debian-12_dists_bookworm_Release")
    disk = "deb [trusted=yes] cdrom:[Debian-12]/ bookworm main\n"
    (system.folder / "sources.list").write_text(disk)
    listed = subprocess.run(["apt-get", "indextargets", "Origin: Debian"], capture_output=True, text=True, check=True)
    assert "Repo-URI: cdrom:" in listed.stdout
    with pytest.raises(TargetError, match="no Debian archive"):
        debian.mirror()
    (system.folder / "sources.list").write_text(f"{disk}deb [trusted=yes] file:{main} bookworm main\n")
    assert debian.mirror().archive == f"file:{main}"


@pytest.mark.parametrize("origin", ["Ubuntu", "Raspbian"])
def test_a_system_without_debian_is_told_how_to_name_a_mirror_and_that_way_works(system: System, origin: str) -> None:
    own = system.archive("own", origin, origin, "stable")
    system.uses(f"deb [trusted=yes] file:{own} stable main")
    with pytest.raises(TargetError, match="no Debian archive among its sources") as caught:
        debian.mirror()
    assert caught.value.exit_code == 5
    advised = re.search(r"'(deb-src .*)'", str(caught.value.hint))
    assert advised is not None
    there = system.archive("debian", "Debian", "Debian", "stable")
    line = advised[1].replace("http://MIRROR/debian", f"file:{there}").replace("[", "[trusted=yes ")
    system.uses(f"deb [trusted=yes] file:{own} stable main", line)
    assert debian.mirror().archive == f"file:{there}"


def test_sources_that_apt_has_never_read_name_no_mirror(system: System) -> None:
    (system.folder / "sources.list").write_text("deb http://mirror.invalid/debian bookworm main\n")
    with pytest.raises(TargetError, match="has not read it yet") as caught:
        debian.mirror()
    assert "sudo apt-get update" in str(caught.value.hint)


def test_sources_that_apt_cannot_read_are_told_in_its_words(system: System) -> None:
    (system.folder / "sources.list").write_text("deb nonsense\n")
    with pytest.raises(TargetError, match=r"cannot read apt's sources: E: Malformed entry 1"):
        debian.mirror()


def test_another_suite_and_architecture_come_from_the_same_mirror_and_only_with_debians_signature() -> None:
    sources = debian.Mirror("http://mirror/debian", "http://mirror/security").sources("trixie", "armhf")
    signed = f"[arch=armhf signed-by={debian.KEYRING}]"
    assert sources.splitlines() == [
        f"deb {signed} http://mirror/debian trixie main",
        f"deb {signed} http://mirror/security trixie-security main",
    ]
    assert debian.Mirror("http://mirror/debian", "").sources("trixie", "armhf").count("\n") == 1


def test_a_password_in_the_address_is_used_and_never_shown() -> None:
    found = debian.Mirror("https://me:secret@mirror/debian", "")
    assert found.shown == "https://mirror/debian"
    assert "me:secret@" in found.sources("trixie", "armhf")


def test_what_debian_has_not_signed_is_refused_though_the_system_trusts_it(system: System, tmp_path: Path) -> None:
    main = system.archive("main", "Debian", "Debian", "bookworm")
    system.uses(f"deb [trusted=yes] file:{main} bookworm main")
    with pytest.raises(TargetError, match=r"cannot fetch the lists of Debian's packages: E: .* is not signed"):
        debian.fetch(["pebble"], "bookworm", "arm64", tmp_path / "apt")
    assert list(tmp_path.glob("apt/**/*.deb")) == []


@pytest.mark.usefixtures("system")
def test_a_mirror_that_cannot_be_reached_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "mirror", lambda: debian.Mirror("http://127.0.0.1:1/debian", ""))
    with pytest.raises(TargetError, match=r"cannot fetch the lists of Debian's packages: E: .*127\.0\.0\.1") as caught:
        debian.fetch(["pebble"], "bookworm", "arm64", tmp_path / "apt")
    assert caught.value.hint == "the same command goes on from here"


def test_the_list_that_may_hold_a_password_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "mirror", lambda: debian.Mirror(f"file:{tmp_path / 'gone'}", ""))
    with pytest.raises(TargetError):
        debian.fetch(["pebble"], "bookworm", "arm64", tmp_path / "apt")
    assert (tmp_path / "apt" / "sources.list").stat().st_mode & 0o077 == 0


def test_packages_are_unpacked_into_one_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        control = tmp_path / name / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        control.write_text(
            f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: me <me@example.org>\nDescription: {name}\n"
        )
        (tmp_path / name / name).write_text(name)
        subprocess.run(["dpkg-deb", "--build", tmp_path / name, tmp_path / f"{name}.deb"], check=True)
    debian.unpack(sorted(tmp_path.glob("*.deb")), tmp_path / "tree")
    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == ["a", "b"]
    (tmp_path / "broken.deb").write_bytes(b"!<arch>\n")
    with pytest.raises(TargetError, match=r"cannot unpack broken\.deb"):
        debian.unpack([tmp_path / "broken.deb"], tmp_path / "tree")


def test_a_program_that_fails_is_told_in_a_line() -> None:
    with pytest.raises(TargetError, match="cannot fetch the lists: E: no network"):
        debian.call(["sh", "-c", "echo reading; echo 'E: no network' >&2; echo more >&2; exit 100"], "fetch the lists")


def test_a_missing_tool_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="needs apt-get and dpkg-deb"):
        debian.mirror()


def test_no_module_names_a_host_of_packages() -> None:
    """Users behind a company's mirror reach no other; what they use is in apt's and pip's configuration."""
    root = Path(__file__).parents[2]
    files = [*root.glob("edgekd/**/*.py"), *(path for path in root.glob(".ci/*") if path.is_file())]
    named = re.compile(r"deb\.debian\.org|security\.debian\.org|archive\.ubuntu\.com|pypi\.org|files\.pythonhosted")
    assert Path(debian.__file__) in files
    assert [str(path) for path in files if named.search(path.read_text())] == []
