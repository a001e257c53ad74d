"""Object stores such as S3, through fsspec."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contimg.common.errors import ContimgError, Misconfigured
from contimg.common.files.checksums import CHUNK_BYTES, checksum, combine, list_tree, read_chunks
from contimg.survey.archive.options import PlaceRule
from contimg.survey.archive.places import (
    MARKER,
    Absent,
    Place,
    PlaceAway,
    SourceDiffers,
    check_relative,
    digest_of,
    write_hashed,
)


class ObjectPlace(Place):
    """An object store that fsspec opens, such as S3. An object appears when its last part has been received."""

    def __init__(self, rule: PlaceRule) -> None:
        super().__init__(rule)
        self._opened: Any = None

    @property
    def _system(self) -> Any:
        """The file system; its credentials come from the library's own environment and files."""
        if self._opened is None:
            import fsspec

            options: dict[str, Any] = {"use_listings_cache": False} if self.rule.scheme == "s3" else {}
            if self.rule.endpoint:
                options["client_kwargs"] = {"endpoint_url": self.rule.endpoint}
            try:
                self._opened = fsspec.filesystem(self.rule.scheme, **options)
            except ImportError as error:
                library = 'pip install "contimg[s3]"'
                raise Misconfigured(f"{self.rule.url}: {error}; install it with {library}") from None
        return self._opened

    def _address(self, name: str) -> str:
        return f"{self.rule.location}/{name}"

    def _read_marker(self) -> str | None:
        with self._refusals():
            try:
                return bytes(self._system.cat_file(self._address(MARKER))).decode(errors="replace")
            except FileNotFoundError:
                return None

    def _write_marker(self, text: str) -> None:
        with self._refusals():
            self._system.pipe_file(self._address(MARKER), text.encode())

    def _copy(self, source: Path, name: str, expected: str | None) -> str:
        digest = checksum(source).sha256
        if expected not in (None, digest):
            raise SourceDiffers(source, digest)
        with self._refusals():
            former, digests = set(self._objects(name)), {}
            for part in list_tree(source):
                with self._system.open(self._address(_join(name, part)), "wb") as file:
                    digests[part] = write_hashed(read_chunks(source / part if part else source), file.write)
            for part in former - digests.keys():
                self._system.rm_file(self._address(_join(name, part)))
            return combine(digests)

    def _read_back(self, name: str) -> str:
        with self._refusals():
            return combine({part: digest_of(self._chunks(name, part)) for part in self._existing(name)})

    def _fetch(self, name: str, target: Path) -> str:
        with self._refusals():
            digests = {}
            for part in self._existing(name):
                path = target / part if part else target
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    digests[part] = write_hashed(self._chunks(name, part), file.write)
            return combine(digests)

    def _existing(self, name: str) -> tuple[str, ...]:
        if not (parts := self._objects(name)):
            raise Absent(f"{self.rule.url}/{name}: does not exist")
        return parts

    def _objects(self, name: str) -> tuple[str, ...]:
        """The objects of a copy as paths below it; one empty name for a file."""
        base = self._address(name)
        try:
            paths: Mapping[str, Any] = self._system.find(base, detail=True)
        except FileNotFoundError:
            return ()
        return tuple(check_part(path.strip("/").removeprefix(base.strip("/")).lstrip("/")) for path in paths)

    def _chunks(self, name: str, part: str) -> Iterator[bytes]:
        with self._system.open(self._address(_join(name, part)), "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn the errors of the library, which has many classes of them, into PlaceAway."""
        try:
            yield
        except (ContimgError, MemoryError):
            raise
        except Exception as error:
            text = str(error).partition("\n")[0] or type(error).__name__
            raise PlaceAway(f"{self.rule.url}: {text}") from error


def check_part(part: str) -> str:
    """Return the path of an object below its copy; raise BadInput for one that leads out of it.

    Parameters
    ----------
    part : the path; empty for the copy itself.
    """
    return check_relative(part) if part else part


def _join(name: str, part: str) -> str:
    return f"{name}/{part}" if part else name
