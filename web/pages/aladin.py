"""Aladin Lite, the sky viewer of the Sky page: one script, installed from the npm registry at set-up.

The package is pinned by version and SHA-512, installed beside the Python packages (`sys.prefix`), and sent by the
panel; nothing is fetched at run time. It is licensed under the GPL 3 and no part of this project.
"""

import base64
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

from contimg.common.errors import BadInput, Transient
from contimg.common.files.staging import disk_errors, staged

VERSION = "3.8.2"
SHA512 = "/VGtxSWZ4StdKgwjmzqNkUY/3iTaBZJ5F6bN+nAfcK1NEATcAb2CYJX4U8FElpwYMgKrypYQV5KniRzhVbH+nA=="
# Of the style element that the script makes, and of a style attribute in its icons, for the Content Security Policy.
STYLE_HASHES = (
    "sha256-cEnY4wnnUdAaYodEHQq0zu+362EwEHHSAlawP4BBKmw=",
    "sha256-wkY2X5hecQzbhnFCqvTpwrUJ1f4X8LH5WFjYUzv1wmU=",
)
SCRIPT = "aladin.js"
COMMAND = "contimg viewer install"
_MEMBERS = {"package/dist/aladin.js": SCRIPT, "package/LICENSE": "LICENSE", "package/COPYING": "COPYING"}
_MAX_BYTES = 20 << 20
_TIMEOUT_S = 60


def install_directory() -> Path:
    """Return the directory of this version, in the Python environment."""
    return Path(sys.prefix) / "share" / "contimg" / f"aladin-lite-{VERSION}"


def find_script() -> Path | None:
    """Return the installed script, or None."""
    path = install_directory() / SCRIPT
    return path if path.is_file() else None


def package_url() -> str:
    """Return the address of the package in the npm registry of NPM_CONFIG_REGISTRY, else of npm's configuration.

    Raises
    ------
    BadInput : the variable is not set, and npm is not installed.
    """
    registry = {name.lower(): value for name, value in os.environ.items()}.get("npm_config_registry")
    if not registry:
        try:
            registry = subprocess.run(
                ["npm", "config", "get", "registry"], capture_output=True, text=True, check=True, timeout=_TIMEOUT_S
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            raise BadInput(
                "the address of the npm registry is not known: set NPM_CONFIG_REGISTRY or install npm, or give the "
                f"package to `{COMMAND} FILE`"
            ) from None
    return f"{registry.rstrip('/')}/aladin-lite/-/aladin-lite-{VERSION}.tgz"


def install(package: Path | None = None) -> Path:
    """Install the pinned version, unless it is installed.

    Parameters
    ----------
    package : the package as a file, for machines without network; None: it is downloaded.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    BadInput : the package's SHA-512 is not the pinned one, it cannot be read, or no registry is known.
    Transient : the registry does not answer, or the directory cannot be written.
    """
    directory = install_directory()
    if find_script() is None:
        source = str(package or package_url())
        content = _read(package) if package else _download()
        digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
        if digest != SHA512:
            raise BadInput(
                f"{source}: its SHA-512 is {digest[:16]}…, expected {SHA512[:16]}…; give aladin-lite-{VERSION}.tgz"
            )
        with staged(directory) as temporary, disk_errors(directory):
            temporary.mkdir(parents=True)
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for member, name in _MEMBERS.items():
                    file = archive.extractfile(member)
                    (temporary / name).write_bytes(file.read() if file else b"")
    return directory


def _read(package: Path) -> bytes:
    try:
        return package.read_bytes()
    except OSError as error:
        raise BadInput(f"{package}: {error.strerror}; give the file aladin-lite-{VERSION}.tgz") from None


def _download() -> bytes:
    url = package_url()
    if not url.startswith(("https://", "http://")):
        raise BadInput(f"{url}: not an address of a registry; check NPM_CONFIG_REGISTRY")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 (http or https, by the check above)
            return bytes(response.read(_MAX_BYTES))
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise Transient(f"{url}: {reason}; give the downloaded file to `{COMMAND} FILE`") from None
