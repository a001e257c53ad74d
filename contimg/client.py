"""A client of the panel's API: status, images, epochs, mosaics, sources, light curves and candidates.

    from contimg.client import PanelClient

    panel = PanelClient("http://lxd110h03:8080")
    for source in panel.sources(eta_min=2.5, v_min=0.1):
        curve = panel.light_curve(source["id"])
        print(curve.measurements.column("mjd"), curve.measurements.column("flux_jy"))

It needs the standard library and NumPy; `Records.table` needs Astropy. Records are dictionaries; docs/api.md has the
names and units of their fields.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput, ContimgError, Misconfigured, Transient

if TYPE_CHECKING:
    from astropy.table import Table

DEFAULT_URL = "http://127.0.0.1:8080"
PAGE_ENTRIES = 500  # the most that the API sends at once
_UNITS = {"jy": "Jy", "deg": "deg", "deg2": "deg2", "arcsec": "arcsec", "hz": "Hz", "mjd": "d", "s": "s", "h": "h"}
_FAULTS: Mapping[int, type[ContimgError]] = {401: Misconfigured, 403: Misconfigured, 421: Misconfigured, 429: Transient}


class Records(list[dict[str, Any]]):
    """Records of the API, in its order, each a dictionary."""

    def column(self, name: str) -> NDArray[Any]:
        """Return a field of every record as an array.

        Parameters
        ----------
        name : of the field.

        Returns
        -------
        ndarray, shape (records,)
            Null is NaN in a column of numbers, None in another.

        Raises
        ------
        BadInput : a record has no such field.
        """
        try:
            values = [record[name] for record in self]
        except KeyError:
            raise BadInput(f"{name}: no field of these records; they have {', '.join(self._names())}") from None
        if None in values and all(isinstance(value, (float, int, type(None))) for value in values):
            return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        return np.array(values) if all(np.isscalar(value) for value in values) else _objects(values)

    def table(self) -> "Table":
        """Return the fields that hold one number, text or switch as a table; null is masked.

        Returns
        -------
        astropy.table.Table
            One row for each record; units are those of the fields' names, `flux_jy` in Jy.
        """
        from astropy.table import MaskedColumn, Table

        table = Table()
        for name in self._names():
            values = [record[name] for record in self]
            numbers = [value for value in values if value is not None]
            if any(isinstance(value, (list, dict)) for value in numbers):
                continue
            filler = numbers[0] if numbers else np.nan
            data = np.array([filler if value is None else value for value in values])
            mask = [value is None for value in values]
            table[name] = MaskedColumn(data, mask=mask, unit=_UNITS.get(name.rpartition("_")[2]))
        return table

    def _names(self) -> list[str]:
        return list(self[0]) if self else []


@dataclass(frozen=True)
class LightCurve:
    """The light curve of a source.

    Attributes
    ----------
    source : the source, with its statistics.
    measurements : in order of time: one for each sidereal day, and those that are not counted in the statistics.
    neighbours : light curves of the nearest sources, the nearest first.
    """

    source: dict[str, Any]
    measurements: Records
    neighbours: tuple["LightCurve", ...] = ()

    def counted(self) -> Records:
        """Return the measurements that are counted in the statistics."""
        return Records(measurement for measurement in self.measurements if measurement["is_counted"])


class PanelClient:
    """The API of a panel.

    Parameters
    ----------
    url : address of the panel; empty: CONTIMG_URL, else this machine's own panel.
    token : of an operator, or one for reading; None: CONTIMG_TOKEN, else CONTIMG_VIEW_TOKEN.
    timeout_s : longest time to wait for an answer, s.

    Raises
    ------
    Misconfigured : the address is no URL of HTTP, or holds a password.
    """

    def __init__(self, url: str = "", token: str | None = None, *, timeout_s: float = 30.0) -> None:
        self.url = (url or os.environ.get("CONTIMG_URL", "") or DEFAULT_URL).rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.password:
            raise Misconfigured(f"{self.url}: not the address of a panel; give one as {DEFAULT_URL}")
        environment = os.environ.get("CONTIMG_TOKEN") or os.environ.get("CONTIMG_VIEW_TOKEN") or ""
        self._token = environment if token is None else token
        self._timeout_s = timeout_s
        self._opener = build_opener(_NoRedirection)

    def status(self) -> dict[str, Any]:
        """Return the state of the stream: counts of groups and stages, rates, newest images and events."""
        return self._get("/api/status")

    def images(self, *, limit: int | None = None, **conditions: Any) -> Records:
        """Return tile images, the latest observed first.

        Parameters
        ----------
        limit : maximum number; None for all.
        conditions : since, until, grade, calibrated; ra, dec and radius in degrees.
        """
        return self._list("/api/images", "images", limit, conditions)

    def epochs(self, *, limit: int | None = None, **conditions: Any) -> Records:
        """Return epochs, the latest observed first.

        Parameters
        ----------
        limit : maximum number; None for all.
        conditions : state, since, until.
        """
        return self._list("/api/epochs", "epochs", limit, conditions)

    def mosaics(self, *, limit: int | None = None, **conditions: Any) -> Records:
        """Return mosaics, the latest observed first.

        Parameters
        ----------
        limit : maximum number; None for all.
        conditions : grade.
        """
        return self._list("/api/mosaics", "mosaics", limit, conditions)

    def sources(self, *, limit: int | None = None, **conditions: Any) -> Records:
        """Return sources with their statistics.

        Parameters
        ----------
        limit : maximum number; None for all.
        conditions : name; ra, dec and radius in degrees; eta_min, v_min and the further parameters of /api/sources.
        """
        return self._list("/api/sources", "sources", limit, conditions)

    def source(self, source_id: int) -> dict[str, Any]:
        """Return a source with its statistics.

        Parameters
        ----------
        source_id : number of the source in the store.
        """
        return self._get(f"/api/sources/{int(source_id)}")

    def light_curve(self, source_id: int, *, neighbours: int = 0) -> LightCurve:
        """Return the light curve of a source, with those of its neighbours.

        Parameters
        ----------
        source_id : number of the source in the store.
        neighbours : maximum number of neighbours.
        """
        answer = self._get(f"/api/sources/{int(source_id)}/lightcurve", {"neighbours": neighbours})
        return LightCurve(
            answer["source"], Records(answer["measurements"]),
            tuple(LightCurve(curve["source"], Records(curve["measurements"])) for curve in answer["neighbours"]),
        )  # fmt: skip

    def candidates(self, *, limit: int | None = None, **conditions: Any) -> Records:
        """Return candidates, the newest first.

        Parameters
        ----------
        limit : maximum number; None for all.
        conditions : state.
        """
        return self._list("/api/candidates", "candidates", limit, conditions)

    def set_candidate_state(self, candidate_id: int, state: str, note: str = "", name: str = "") -> dict[str, Any]:
        """Change the state of a candidate, and return the candidate; needs the operator's token.

        Parameters
        ----------
        candidate_id : number of the candidate in the store.
        state : new, watching, confirmed, dismissed or withdrawn.
        note : reason, for others.
        name : of the person who decided; empty: the operator.
        """
        body = {"state": state, "note": note, "name": name}
        return self._call(f"/api/candidates/{int(candidate_id)}", body)

    def read_file(self, path: str) -> bytes:
        """Return a file of the API.

        Parameters
        ----------
        path : as in a record, `/api/mosaics/3.fits`.
        """
        return self._send(Request(f"{self.url}{quote(path, safe='/.?=&%')}", headers=self._headers()))  # noqa: S310

    def _list(self, path: str, name: str, limit: int | None, conditions: Mapping[str, Any]) -> Records:
        """The records of all pages, up to a limit."""
        records, cursor = Records(), None
        while limit is None or len(records) < limit:
            size = PAGE_ENTRIES if limit is None else min(PAGE_ENTRIES, limit - len(records))
            page = self._get(path, {**conditions, "limit": size, "cursor": cursor})
            records.extend(page[name])
            cursor = page["next"]
            if cursor is None:
                break
        return records

    def _get(self, path: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        texts = {name: _text(value) for name, value in (parameters or {}).items() if value is not None}
        return self._call(f"{path}?{urlencode(texts)}" if texts else path)

    def _call(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer of a path as JSON; with a body, of a command."""
        headers, data = self._headers(), None
        if body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(body).encode()
        text = self._send(Request(f"{self.url}{path}", data, headers))  # noqa: S310 (of HTTP, as `__init__` checks)
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError:
            raise Misconfigured(f"{self.url}{path}: the answer is not JSON; is this the address of a panel?") from None
        return answer

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        return headers | {"Authorization": f"Bearer {self._token}"} if self._token else headers

    def _send(self, request: Request) -> bytes:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                content: bytes = answer.read()
                return content
        except HTTPError as error:
            raise _fault(error) from None
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise Transient(f"{self.url}: no answer: {reason}; is the panel running (`contimg status`)?") from None


class _NoRedirection(HTTPRedirectHandler):
    """Refuses redirections, which would send the token elsewhere."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> None:
        """Return no request, so that the redirection is answered as an error."""


def _fault(error: HTTPError) -> ContimgError:
    """The error of an answer: its text and hint, of the class that its status means."""
    kind = _FAULTS.get(error.code, Transient if error.code >= 500 else BadInput)
    try:
        problem = json.loads(error.read())
        text = f"{problem['detail']}; {problem['hint']}"
    except (ValueError, TypeError, KeyError, OSError):
        kind = Misconfigured if error.code < 500 else kind
        text = f"{error.reason}; is this the address of a panel?"
    return kind(f"{error.url}: {error.code}: {text}")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _objects(values: list[Any]) -> NDArray[Any]:
    """An array of objects, whatever their lengths."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
