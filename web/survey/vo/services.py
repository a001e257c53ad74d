"""`/vo`: Simple Cone Search 1.03 of sources, SIA 2.0 of mosaics, light curves, and the VOSI resources of each."""

from flask import Blueprint, Response, request

from contimg.common.errors import BadInput
from contimg.formats.votables import MEDIA_TYPE
from contimg.store.sky.records import SourceRecord
from contimg.survey.publication.light_curves import light_curve_votable
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import MAX_ID
from web.sources.votable import columns_of, write_votable
from web.survey.vo import vosi
from web.survey.vo.images import FIELDS, search_images
from web.survey.vo.parameters import read_image_query, read_maximum, read_number, read_values

vo = Blueprint("vo", __name__, url_prefix="/vo")
CONE_PARAMETERS = ("RA", "DEC", "SR", "VERB", "MAXREC")
_XML = "text/xml"


@vo.get("/cone")
def search_cone() -> Response:
    """Send the sources in a cone, the nearest first; with a radius of 0 the columns alone."""
    values = read_values(CONE_PARAMETERS)
    ra_deg, dec_deg = read_number(values, "RA", 0, 360), read_number(values, "DEC", -90, 90)
    radius_deg, maximum = read_number(values, "SR", 0, 180), read_maximum(values)
    verbosity = int(read_number(values, "VERB", 1, 3, 2))
    sources: tuple[SourceRecord, ...] = ()
    if radius_deg:
        sources = current_panel().store.sky.cone(ra_deg % 360, dec_deg, radius_deg, limit=maximum + 1)
    return _send(
        write_votable(sources[:maximum], is_cut=len(sources) > maximum, root=_root(), verbosity=verbosity), MEDIA_TYPE
    )


@vo.get("/sia")
def search_sia() -> Response:
    """Send the mosaics of an image search as records of ObsCore."""
    return _send(search_images(read_image_query()), MEDIA_TYPE)


@vo.get("/lightcurve")
def send_light_curve() -> Response:
    """Send the light curve of a source, every measurement with a flux, as a time series."""
    number = read_number(read_values(("ID",)), "ID", 0, MAX_ID)
    sky = current_panel().store.sky
    try:
        source = sky.source(int(number))
    except BadInput as error:
        raise RequestError(404, str(error), "/vo/cone lists the sources", code="no_such_source") from None
    points = [
        (point.mjd, point.flux_jy, point.flux_error_jy, point.limit_jy, point.local_rms_jy, "+".join(point.flags),
         point.is_counted, point.epoch)
        for point in sky.light_curve(source.id).measurements
    ]  # fmt: skip
    return _send(light_curve_votable(source.name, source.ra_deg, source.dec_deg, points).encode(), MEDIA_TYPE)


@vo.get("/<service>/<resource>")
def send_resource(service: str, resource: str) -> Response:
    """Send a VOSI resource of a service."""
    described = {
        "cone": (vosi.CONE, "sources", tuple(column.field for column in columns_of(3, _root()))),
        "sia": (vosi.IMAGES, "ivoa.obscore", FIELDS),
    }
    if service not in described or resource not in ("capabilities", "availability", "tables"):
        raise RequestError(404, f"{request.path[:60]}: no such resource", "/vo/sia/capabilities lists the resources")
    standard, name, fields = described[service]
    text = {
        "capabilities": lambda: vosi.capabilities(f"{_root()}/vo/{service}", standard),
        "availability": lambda: vosi.availability(f"{name} of the DSA-110 continuum pipeline"),
        "tables": lambda: vosi.tables(name, fields),
    }[resource]()
    return _send(text.encode(), _XML)


def _root() -> str:
    return request.url_root.rstrip("/")


def _send(content: bytes, media_type: str) -> Response:
    """A document with an entity tag: a client that has it already gets 304."""
    response = Response(content, mimetype=media_type)
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response
