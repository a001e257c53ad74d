"""`/api/images`: quick-look images and their files."""

from flask import Blueprint, Response, request

from contimg.store import StoredImage
from web.context import current_panel
from web.http.answers import image_answer, respond
from web.http.errors import RequestError
from web.http.files import send_product
from web.http.models import ImagesAnswer
from web.http.parameters import ImageListing

images = Blueprint("images", __name__, url_prefix="/api/images")


@images.get("")
def read_images() -> Response:
    """The latest observed first; `?limit=` and `?before_mjd=` page on."""
    query = ImageListing.model_validate(request.args.to_dict())
    found = current_panel().store.products.images(query.limit, before_mjd=query.before_mjd)
    following = found[-1].mjd if len(found) == query.limit else None
    return respond(ImagesAnswer(images=tuple(image_answer(one) for one in found), next_before_mjd=following))


@images.get("/<int:image_id>")
def read_image(image_id: int) -> Response:
    """One image's numbers."""
    return respond(image_answer(known_image(image_id)))


@images.get("/<int:image_id>.png")
def png(image_id: int) -> Response:
    """The preview."""
    return send_product(known_image(image_id).png_path, current_panel().config().output_dir, "preview", "image/png")


@images.get("/<int:image_id>/thumbnail")
def thumbnail(image_id: int) -> Response:
    """The preview in small."""
    return send_product(
        known_image(image_id).thumbnail_path, current_panel().config().output_dir, "thumbnail", "image/png"
    )


@images.get("/<int:image_id>.fits")
def fits(image_id: int) -> Response:
    """The image itself."""
    path = known_image(image_id).fits_path
    return send_product(path, current_panel().config().output_dir, "image", "application/fits", download=True)


@images.get("/<int:image_id>.pb.fits")
def beam_fits(image_id: int) -> Response:
    """The image's primary beam."""
    path = known_image(image_id).beam_fits_path
    return send_product(path, current_panel().config().output_dir, "primary beam", "application/fits", download=True)


def known_image(image_id: int) -> StoredImage:
    """The image of an id, or a RequestError."""
    found = current_panel().store.products.image(image_id) if image_id < 2**63 else None
    if found is None:
        raise RequestError(404, f"image {image_id}: not in the store", "GET /api/images lists those that are")
    return found
