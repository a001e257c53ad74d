"""The files of a stage's result with their checksums, computed while the files are still in the page cache."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from contimg.common.files.checksums import checksum
from contimg.epoch.products import Mosaic
from contimg.settings.retention import CALTABLES, IMAGE, MOSAIC, MS, RAW
from contimg.store.epochs.mosaics import EpochMosaic
from contimg.store.survey.archive.product_files import MadeFile, MadeFiles
from contimg.survey.archive.options import ArchiveOptions
from contimg.tile.products import CalibratedMS, ConvertedMS, TileImage


def checksum_product(
    product: object, ms_path: Path | None, raw_files: Iterable[Path], output_dir: Path, options: ArchiveOptions
) -> MadeFiles:
    """Return the files of a stage's result for the commit.

    A Measurement Set gets its checksum when it is calibrated; subband files are registered when they are converted,
    and get theirs when they are first copied.

    Parameters
    ----------
    product : result of the stage.
    ms_path : the Measurement Set that the stage changed; None where it changed none.
    raw_files : subband files that the stage read.
    output_dir : directory of the products; the paths of copies are those below it.
    options : kinds whose files get a checksum.
    """
    files: list[MadeFile] = []
    for kind, path in _paths_of(product, ms_path, raw_files):
        if kind not in options.kind_names or not path.exists():
            continue
        if kind == RAW:
            status = path.stat()
            name = f"{RAW}/{path.name}"
            files.append(MadeFile(kind, path, name, status.st_size, modified_at=status.st_mtime))
        else:
            digest = checksum(path)
            files.append(MadeFile(kind, path, name_of(path, output_dir), digest.size_bytes, digest.sha256))
    return MadeFiles(tuple(files))


def name_of(path: Path, output_dir: Path) -> str:
    """Return the path of a product within a place: that below the directory of the products.

    Parameters
    ----------
    path : of the product.
    output_dir : directory of the products; a product elsewhere is below `elsewhere/`.
    """
    absolute = path.absolute()
    if absolute.is_relative_to(output_dir.absolute()):
        return str(absolute.relative_to(output_dir.absolute()))
    return f"elsewhere{absolute}"


def _paths_of(product: object, ms_path: Path | None, raw_files: Iterable[Path]) -> list[tuple[str, Path]]:
    """Kind and path of each file; some of them need not exist."""
    paths: list[tuple[str, Path]] = []
    if isinstance(product, ConvertedMS):
        paths += [(RAW, path) for path in raw_files]
    elif isinstance(product, CalibratedMS) and product.new_set is not None:
        paths.append((CALTABLES, product.new_set.directory))
    elif isinstance(product, TileImage):
        paths += [(IMAGE, path) for path in _image_paths(product)]
    elif isinstance(product, EpochMosaic):
        paths += [(MOSAIC, path) for path in _mosaic_paths(product.mosaic)]
    if ms_path is not None:
        paths.append((MS, ms_path))
    return paths


def _image_paths(image: TileImage) -> Iterable[Path]:
    from contimg.tile.image.result import Products

    products = Products.of(image.fits_path.name.removesuffix(".fits"), image.fits_path.parent)
    return _unique(vars(products))


def _mosaic_paths(mosaic: Mosaic) -> Iterable[Path]:
    from contimg.epoch.mosaic.writing import MosaicFiles

    return _unique(vars(MosaicFiles.of(mosaic.fits_path)))


def _unique(paths: Mapping[str, Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(paths.values()))
