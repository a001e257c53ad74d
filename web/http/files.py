"""Products as files: reached through a row of the store, never through a path from outside."""

from pathlib import Path

from flask import Response, send_file

from web.http.errors import RequestError


def product_file(path: Path | None, output_dir: Path, what: str) -> Path:
    """A product's file; RequestError unless its real path, links followed, lies in the output directory."""
    if path is None:
        raise RequestError(404, f"{what}: this image has none", "make the image again with `contimg groups retry`")
    real = path.resolve()
    if not real.is_relative_to(output_dir.resolve()):
        raise RequestError(
            404, f"{what}: not in output_dir", "the panel shows products of the configured output_dir only"
        )
    if not real.is_file():
        raise RequestError(404, f"{what}: {path.name} is gone from the disk", "`contimg groups retry` makes it again")
    return real


def send_product(path: Path | None, output_dir: Path, what: str, mimetype: str, *, download: bool = False) -> Response:
    """A product's file as an answer; RequestError as by `product_file`."""
    real = product_file(path, output_dir, what)
    response = send_file(real, mimetype=mimetype, as_attachment=download, download_name=real.name, conditional=True)
    response.headers["Cache-Control"] = "no-cache"  # an image may be made again under the same name: ask, then reuse
    return response
