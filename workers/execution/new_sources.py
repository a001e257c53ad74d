"""Sources that an epoch's mosaic shows and that neither the catalogue nor the store has."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from contimg.epoch.photometry.detection import Detections, detect_sources
from contimg.epoch.photometry.image import RestoredImage
from contimg.epoch.photometry.positions import Positions
from contimg.epoch.photometry.products import MeasurementFlag, Photometry
from contimg.sky.variability.association import Positions as SkyPositions
from contimg.sky.variability.association import associate, judge_novelty
from contimg.sky.variability.options import AssociationOptions
from contimg.store import NewSources, Store, StoredMosaic

UNSURE = (
    MeasurementFlag.HARD | MeasurementFlag.EDGE | MeasurementFlag.BLENDED | MeasurementFlag.LOW_PB
    | MeasurementFlag.NOISY
)  # fmt: skip
"""Flags of a detection that does not become a source: at an edge, beside a known source, in a noisy part."""


@dataclass(frozen=True)
class FirstDetections:
    """Detections without a counterpart, which are measured with the other positions.

    Attributes
    ----------
    detections : in the mosaic.
    novelty, earlier_epochs : of `judge_novelty`, shape (detections,).
    """

    detections: Detections
    novelty: Any
    earlier_epochs: Any

    def none(self) -> "FirstDetections":
        """Return no detection."""
        rows = np.zeros(0, dtype=np.int64)
        return FirstDetections(self.detections[rows], self.novelty[rows], self.earlier_epochs[rows])

    def join(self, positions: Positions) -> Positions:
        """Return positions with those of the detections after them.

        Parameters
        ----------
        positions : of known sources.
        """
        new = self.detections
        return positions.join(Positions(new.name, new.ra_deg, new.dec_deg))

    def accept(self, photometry: Photometry) -> tuple[Photometry, NewSources | None]:
        """Return photometry without the detections that are unsure in it, and the new sources that remain.

        Parameters
        ----------
        photometry : at the positions of `join`, or a part of them.
        """
        row_of = {name: row for row, name in enumerate(self.detections.name.tolist())}
        rows = np.array([row_of.get(name, -1) for name in photometry.source_id.tolist()], dtype=np.int64)
        is_unsure = (rows >= 0) & ((photometry.flags & int(UNSURE)) != 0)
        rows = rows[(rows >= 0) & ~is_unsure]
        photometry = photometry[~is_unsure]
        if not rows.size:
            return photometry, None
        new = self.detections[rows]
        columns = (new.name, new.ra_deg, new.dec_deg, new.position_error_arcsec / 3600, new.flux_jy, new.rms_jy,
                   self.novelty[rows], self.earlier_epochs[rows])  # fmt: skip
        return photometry, NewSources(*(tuple(column.tolist()) for column in columns))


def find_first_detections(
    store: Store, mosaic: StoredMosaic, image: RestoredImage, known: Positions, options: AssociationOptions
) -> FirstDetections:
    """Find the detections of a mosaic without a counterpart, and what the noise of earlier epochs says of them.

    Parameters
    ----------
    store : with the earlier mosaics.
    mosaic, image : of the epoch.
    known : positions of the catalogue's and the store's sources.
    options : limits.
    """
    detections = detect_sources(image, options.detect_sigma)
    pairs = associate(
        SkyPositions.of(detections.ra_deg, detections.dec_deg, detections.position_error_arcsec),
        SkyPositions.of(known.ra_deg, known.dec_deg), image.beam.major_arcsec, options,
    )  # fmt: skip
    first = detections[~pairs.has_source]
    maps = store.mosaics.earlier_noise_maps(mosaic) if len(first) else ()
    novelty, epochs = judge_novelty(first.flux_jy, first.rms_jy, first.ra_deg, first.dec_deg, maps, options)
    return FirstDetections(first, novelty, epochs)
