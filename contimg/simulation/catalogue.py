"""The simulated sky as a reference catalogue, so that images of a run are compared with what was simulated."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from contimg.instrument.dsa110 import BAND
from contimg.simulation.options import SimulateOptions
from contimg.simulation.plan import TilePlan
from contimg.simulation.sky import FAINTEST_JY
from contimg.sky.catalogue import SIMULATED, Catalogue, CatalogueSources, Provenance, write_catalogue

NAME = "sky"
_STEP = 1.01  # of the frequency, for the spectral index at the band's centre


def write_sky_catalogue(path: Path, plans: Iterable[TilePlan], options: SimulateOptions) -> Catalogue:
    """Write the sources of a run as a catalogue file.

    Parameters
    ----------
    path : of the file; one that exists is replaced.
    plans : tiles of the run; a source that several tiles share is written once.
    options : of the run.

    Returns
    -------
    The catalogue: steady fluxes outside the primary beam and spectral indices at the centre of the band.

    Raises
    ------
    BadInput : no tile has a source.
    """
    sources = list({source.name: source for plan in plans for source in plan.sources}.values())
    flux_jy, above_jy = (
        np.array([float(source.flux_jy(factor * BAND.centre_hz)) / source.flux_factor for source in sources])
        for factor in (1.0, _STEP)
    )
    shapes = np.array([source.shape for source in sources]).reshape(-1, 3)
    columns = CatalogueSources.of(
        BAND.centre_hz, [source.name for source in sources], [source.ra_deg for source in sources],
        [source.dec_deg for source in sources], flux_jy, position_error_deg=0.0, flux_error_jy=0.0,
        spectral_index=np.log(above_jy / flux_jy) / np.log(_STEP), major_deg=shapes[:, 0] / 3600,
        minor_deg=shapes[:, 1] / 3600, angle_deg=shapes[:, 2], is_resolved=shapes[:, 0] > 0,
    )  # fmt: skip
    limit_jy = options.faintest_mjy / 1e3 if options.sky == "counts" else FAINTEST_JY
    return write_catalogue(
        path, columns,
        Provenance(
            name=NAME, kind=SIMULATED, frequency_hz=BAND.centre_hz, beam_deg=0.0, flux_limit_jy=limit_jy,
            source_table=f"contimg simulate, seed {options.seed}",
        ),
    )  # fmt: skip
