"""Installing Aladin Lite: the pinned package alone, from a file or a registry; errors in one line."""

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from contimg.common.errors import BadInput, Transient
from web.pages import aladin


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with the members of the real one, whose digest is pinned, and a directory for it."""
    path = tmp_path / "aladin-lite.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("package/dist/aladin.js", "package/LICENSE", "package/COPYING", "package/other.js"):
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    monkeypatch.setattr(aladin, "SHA512", base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode())
    monkeypatch.setattr(aladin, "install_directory", lambda: tmp_path / "share" / "aladin")
    return path


def test_package_is_installed_once(package: Path) -> None:
    assert aladin.find_script() is None
    directory = aladin.install(package)
    assert sorted(path.name for path in directory.iterdir()) == ["COPYING", "LICENSE", "aladin.js"]
    assert aladin.find_script() == directory / "aladin.js"
    package.unlink()
    assert aladin.install() == directory, "nothing is read or fetched again"


def test_other_package_is_refused(package: Path) -> None:
    package.write_bytes(package.read_bytes() + b"x")
    with pytest.raises(BadInput, match="SHA-512"):
        aladin.install(package)
    assert aladin.find_script() is None


def test_registry_without_network(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
    with pytest.raises(Transient, match=r"contimg viewer install"):
        aladin.install()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "file:///etc")
    with pytest.raises(BadInput, match="NPM_CONFIG_REGISTRY"):
        aladin.install()
    with pytest.raises(BadInput, match="absent"):
        aladin.install(Path("/absent.tgz"))


def test_registry_is_that_of_npm(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho https://npm.example/mirror/\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert aladin.package_url() == f"https://npm.example/mirror/aladin-lite/-/aladin-lite-{aladin.VERSION}.tgz"
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(BadInput, match="NPM_CONFIG_REGISTRY"):
        aladin.install()
