"""Plot of a measured primary beam against the Airy disk."""

from pathlib import Path

import numpy as np

from contimg.instrument.dsa110 import BAND
from contimg.tile.beam.measure import BeamMeasurement, airy_mean
from contimg.tile.image.plots.drawing import FAINT, INK, WARNING, make_figure, save_figure


def plot_beam(measurement: BeamMeasurement, path: Path) -> None:
    """Draw fluxes over fitted fluxes against the distance from the centre, with the Airy disk and the fit.

    Parameters
    ----------
    measurement : the beam.
    path : PNG; one that exists is overwritten.
    """
    figure = make_figure(900, 560)
    axes = figure.subplots()
    distance_deg = np.linspace(0, max(2.0, 1.1 * max(measurement.distance_deg)), 200)
    sine = np.sin(np.deg2rad(distance_deg))[:, np.newaxis]
    for width, label, colour, style in (
        (1.0, f"Airy disk of {BAND.centre_hz / 1e9:.2f} GHz", FAINT, "--"),
        (measurement.width, f"measured: {measurement.width:.3f} ± {measurement.width_error:.3f} as wide", WARNING, "-"),
    ):
        response = airy_mean(sine, 0 * sine, np.array([BAND.centre_hz]), (width, width), 0.0)
        axes.plot(distance_deg, response, style, color=colour, label=label)
    axes.plot(measurement.distance_deg, measurement.response, ".", color=INK, alpha=0.5, label="sources")
    axes.axhline(0.5, color=FAINT, linewidth=0.6)
    axes.set_ylim(0, 1.15)
    axes.set_xlabel("distance from the pointing at mid-tile (deg)")
    axes.set_ylabel("response to power")
    axes.legend(frameon=False)
    save_figure(figure, path)
