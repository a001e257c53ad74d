"""Product files as responses, and the security headers of every response."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from flask import Flask, Response, g, send_file

from web.http.errors import RequestError

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def add_headers(app: Flask) -> None:
    """Add the security headers to every response, errors included.

    Parameters
    ----------
    app : the application. Responses without Cache-Control are marked as not to be stored; one of a request that has
        called `allow_styles` permits style elements with its nonce, one that has called `allow_viewer` what Aladin Lite
        needs (Content Security Policy Level 3).
    """

    @app.after_request
    def add(response: Response) -> Response:
        response.headers.extend(HEADERS)
        if "viewer_policy" in g:
            response.headers["Content-Security-Policy"] = g.viewer_policy
        if "style_nonce" in g:
            policy = POLICY.replace("style-src 'self'", f"style-src 'self' 'nonce-{g.style_nonce}'")
            response.headers["Content-Security-Policy"] = policy
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-store"
        return response


def allow_styles() -> str:
    """Allow style elements with a nonce on this response, for scripts that create some; returns the nonce."""
    g.style_nonce = secrets.token_urlsafe(16)
    return str(g.style_nonce)


def allow_inline_styles() -> None:
    """Allow the style element of a page that is kept as a file and has no script; nothing else is allowed then."""
    g.viewer_policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def allow_viewer(style_hashes: Sequence[str]) -> None:
    """Allow on this response what Aladin Lite needs: WebAssembly, its styles, and data that it has in memory.

    Parameters
    ----------
    style_hashes : of its style element and attributes. Nothing from other hosts is allowed.
    """
    hashes = " ".join(f"'{word}'" for word in ("unsafe-hashes", *style_hashes))
    g.viewer_policy = (
        POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
        .replace("style-src 'self'", f"style-src 'self' {hashes}")
        .replace("img-src 'self' data:", "img-src 'self' data: blob:")
        .replace("connect-src 'self'", "connect-src 'self' data: blob:; worker-src 'self' blob:")
    )


def product_file(path: Path | None, output_dir: Path, name: str) -> Path:
    """Return the real path of a product's file.

    Parameters
    ----------
    path : the path in the store, or None.
    output_dir : the directory that must hold the file after links are followed.
    name : what the file is, for the message.

    Raises
    ------
    RequestError
        404 when the path is None, lies outside `output_dir`, or is no file.
    """
    if path is None:
        raise RequestError(
            404, f"{name}: this image has none", "`contimg groups retry` makes the image again", code="no_such_file"
        )
    real = path.resolve()
    if not real.is_relative_to(output_dir.resolve()):
        raise RequestError(
            404,
            f"{name}: not in output_dir",
            "only products below the configured output_dir are sent",
            code="no_such_file",
        )
    if not real.is_file():
        raise RequestError(
            404, f"{name}: {path.name} is not on disk", "`contimg groups retry` makes it again", code="no_such_file"
        )
    return real


def send_product(path: Path | None, output_dir: Path, name: str, mimetype: str, *, download: bool = False) -> Response:
    """Send a product's file, whole or the range that the request asks for.

    Parameters
    ----------
    path : the path in the store, or None.
    output_dir : the directory that must hold the file after links are followed.
    name : what the file is, for the message of an error.
    mimetype : media type of the response.
    download : let the browser save the file instead of showing it.

    Raises
    ------
    RequestError, 404, when the path is None, lies outside `output_dir`, or is no file;
    RequestedRangeNotSatisfiable, when the file does not hold the range.
    """
    real = product_file(path, output_dir, name)
    response = send_file(real, mimetype=mimetype, as_attachment=download, download_name=real.name, conditional=True)
    response.headers["Cache-Control"] = "no-cache"  # an image may be made again under the same name: revalidate
    return response
