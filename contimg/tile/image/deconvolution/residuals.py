"""Visibilities minus those of the components, predicted by increments.

A model M leaves V - W(a) - C(b) - F(M - a), where W predicts visibilities with the w term, F without it, and C adds
what changes within the tile. W and C cost most of a major cycle's time and are brought up to date (a = M, b = M) only
when the components since then are bright enough to leave something in the residual.
"""

import numpy as np
from numpy.typing import NDArray

from contimg.tile.image.gridding.gridder import ACCURACY, PREDICTION_ACCURACY, BandParts, Gridder, Image


class Residuals:
    """Residual images of the parts of the band for a model that grows.

    Parameters
    ----------
    bands : the visibilities, by part of the band.
    """

    def __init__(self, bands: BandParts) -> None:
        self.bands = bands
        shape = (len(bands.gridders), bands.gridders[0].size, bands.gridders[0].size)
        self._stokes_i = [part.visibilities.stokes_i.copy() for part in bands.gridders]
        self._exact_models, self._changing_models = np.zeros((2, *shape), np.float32)

    @property
    def pixel_rad(self) -> float:
        """Size of a pixel, radians."""
        return self.bands.pixel_rad

    @property
    def weight_fractions(self) -> NDArray[np.float64]:
        """Fraction of the total weight in each part, shape (parts,)."""
        return self.bands.weight_fractions

    @property
    def edges_hz(self) -> NDArray[np.float64]:
        """Lower and upper edge of each part, shape (parts, 2)."""
        return self.bands.edges_hz

    def mean(self, images: Image) -> Image:
        """Return the weighted mean of the parts' images.

        Parameters
        ----------
        images : shape (parts, size, size).
        """
        return self.bands.mean(images)

    def image(self, models: Image, with_w: bool, with_changes: bool) -> Image:
        """Return the residual images that models leave, gridded without the w term where the array is flat.

        Parameters
        ----------
        models : Jy per pixel, shape (parts, size, size).
        with_w : whether to predict all components with the w term, at the accuracy of `PREDICTION_ACCURACY`.
        with_changes : whether to predict the changes within the tile of all components.

        Returns
        -------
        Jy per beam, shape (parts, size, size).
        """
        if with_w:
            self._update_exact(models)
        if with_changes:
            self._update_changes(models)
        images = []
        for part, stokes_i, model, exact_model in zip(
            self.bands.gridders, self._stokes_i, models, self._exact_models, strict=True
        ):
            step = model - exact_model
            if step.any():
                stokes_i = stokes_i - part.predict_constant(step, exact=False, accuracy=ACCURACY)
            images.append(part.dirty(stokes_i, exact=False))
        return np.stack(images)

    def pending_fraction(self, models: Image) -> float:
        """Return the part of the models' flux that was not predicted with the w term and the changes.

        Parameters
        ----------
        models : Jy per pixel, shape (parts, size, size).
        """
        total = float(np.abs(models).sum(dtype=np.float64))
        steps = (models - self._exact_models, models - self._changing_models)
        return max(float(np.abs(step).sum(dtype=np.float64)) for step in steps) / total if total else 0.0

    def exact_image(self) -> Image:
        """Return the residual images of the components predicted so far, gridded with the w term."""
        return np.stack(
            [part.dirty(stokes_i) for part, stokes_i in zip(self.bands.gridders, self._stokes_i, strict=True)]
        )

    def _update_exact(self, models: Image) -> None:
        for part, stokes_i, model, exact_model in self._parts(models, self._exact_models):
            step = model - exact_model
            if step.any():
                # The error that is left is relative to the flux of the whole model.
                total, new = (float(np.abs(image).sum(dtype=np.float64)) for image in (model, step))
                accuracy = min(ACCURACY, PREDICTION_ACCURACY * max(1.0, total / new))
                stokes_i -= part.predict_constant(step, accuracy=accuracy)
        self._exact_models[:] = models

    def _update_changes(self, models: Image) -> None:
        for part, stokes_i, model, changing_model in self._parts(models, self._changing_models):
            step = model - changing_model
            if step.any():
                for change in part.predict_changes(step):
                    stokes_i -= change
        self._changing_models[:] = models

    def _parts(self, models: Image, earlier: Image) -> "zip[tuple[Gridder, NDArray[np.complex64], Image, Image]]":
        return zip(self.bands.gridders, self._stokes_i, models, earlier, strict=True)
