"""Options of a simulated run: its size, its sky, the errors of its receivers."""

from datetime import date
from typing import Literal, Self

from pydantic import model_validator

from contimg.common.errors import Misconfigured
from contimg.common.options import Options, option
from contimg.instrument import dsa110 as telescope
from contimg.instrument.dsa110 import BAND


class SimulateOptions(Options, env_prefix="CONTIMG_SIMULATE_"):
    """A run of the synthetic telescope; the same options give the same bytes."""

    groups: int = option(3, "Number of tiles: the calibrator's, then target tiles", minimum=1)
    antennas: int = option(32, "Antennas; 96 is the whole telescope, 117 every station", minimum=2, maximum=117)
    channels: int = option(192, "Channels over the band, a multiple of 16; 768 is native", minimum=16, maximum=6144)
    integrations: int = option(24, "Integrations of a tile", minimum=1)
    integration_s: float = option(telescope.INTEGRATION_S, "Length of an integration", unit="s", minimum=0.1)
    cadence_s: float = option(telescope.CADENCE_S, "Time between the starts of two tiles", unit="s", minimum=1.0)
    hours: float = option(0.0, "Length of the scan, instead of the number of tiles; 0: --groups", unit="h", minimum=0.0)
    calibrator_first: bool = option(True, "The transit is in the first tile; otherwise in the middle of the scan")
    gap: int = option(0, "Tiles skipped between the calibrator's and the first target's", minimum=0)
    date: str = option("2026-02-22", "UTC date of the calibrator's transit, YYYY-MM-DD")
    declination_offset_deg: float = option(
        0.0, "Offset of the pointing to the north", unit="deg", minimum=-60.0, maximum=50.0
    )
    sources: int = option(5, "Number of target sources around each target tile", minimum=0, maximum=20)
    sky: Literal["known", "counts"] = option(
        "known", "Sky: the calibrator and the target sources, or also the sources of the counts at 1.4 GHz"
    )
    faintest_mjy: float = option(1.0, "Faintest source of the counts", unit="mJy", minimum=1.0)
    radius_deg: float = option(2.6, "Radius of the counts around a tile's centre", unit="deg", minimum=0.1, maximum=10)
    strong_jy: float = option(0.0, "Flux of one more source near the first target tile; 0: none", unit="Jy", minimum=0)
    strong_radius_deg: float = option(
        2.0, "Distance of that source from the tile's centre, to the north-east", unit="deg", minimum=0.0, maximum=4.0
    )
    variable_sources: str = option("", "CSV table of fluxes by day: name, mjd, factor, and positions of sources to add")
    smearing: bool = option(True, "Average the visibilities over the integration while the sky moves")
    beam: Literal["airy", "uniform"] = option("airy", "Primary beam: Airy disk of the dish, or uniform")
    moving_beam: bool = option(True, "Let the sky drift through the beam; otherwise the response is that of mid-tile")
    beam_width: float = option(1.0, "Width of the beam in units of the Airy disk's", minimum=0.5, maximum=2.0)
    beam_ellipticity: float = option(
        0.0, "Beam wider by this fraction on one axis and narrower on the other", minimum=0.0, maximum=0.5
    )
    beam_angle_deg: float = option(0.0, "Position angle of the wider axis", unit="deg", minimum=0.0, maximum=180.0)
    squint_arcmin: float = option(0.0, "Distance of the XX beam to the east of the YY beam", unit="arcmin", minimum=0.0)
    pointing_east_arcmin: float = option(0.0, "Pointing offset of all dishes to the east", unit="arcmin")
    pointing_north_arcmin: float = option(0.0, "Pointing offset of all dishes to the north", unit="arcmin")
    pointing_rms_arcmin: float = option(0.0, "Rms pointing offset of a dish on each axis", unit="arcmin", minimum=0.0)
    noise: bool = option(True, "Add the thermal noise of the receivers")
    corrupt: bool = option(True, "Apply delays, bandpasses and gains per antenna")
    delay_rms_ns: float = option(150.0, "Rms delay of an antenna", unit="ns", minimum=0.0, maximum=1700.0)
    phase_drift_deg_per_hour: float = option(
        0.0, "Rms linear drift of an antenna's phase since the transit", unit="deg/h", minimum=0.0
    )
    phase_walk_deg: float = option(0.0, "Random walk of an antenna's phase, rms after 1 h", unit="deg", minimum=0.0)
    amplitude_walk: float = option(0.0, "Random walk of an antenna's amplitude, rms fraction after 1 h", minimum=0.0)
    troposphere_deg_per_km: float = option(
        0.0, "Rms gradient of the phase over the array on each axis, changing in 10 min", unit="deg/km", minimum=0.0
    )
    position_rms_mm: float = option(
        0.0, "Rms error of an antenna's position on each axis in the files", unit="mm", minimum=0.0
    )
    dead: int = option(0, "Number of dead antennas among those chosen", minimum=0)
    rfi: bool = option(False, "Add interference: a radar, a satellite, a burst")
    bursts: int = option(0, "Bursts of interference in each tile, each in part of the band", minimum=0, maximum=100)
    seed: int = option(110, "Seed of the random numbers", minimum=0)
    chunked: bool = option(True, "Chunk the files automatically, as HDF5 does in real files; otherwise contiguous")
    clock_spread: int = option(1, "Spread of the times in a group's file names", unit="s", minimum=0, maximum=82)
    pace: float = option(0.0, "Speed in units of the real cadence; 0: no waiting", minimum=0.0)
    threads: int = option(2, "Number of threads", minimum=1, maximum=64)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.channels % BAND.subbands:
            raise Misconfigured(
                f"--channels={self.channels}: must be a multiple of {BAND.subbands}, the number of subbands"
            )
        if self.dead >= self.antennas:
            raise Misconfigured(f"--dead={self.dead}: must be fewer than the {self.antennas} antennas")
        try:
            date.fromisoformat(self.date)
        except ValueError:
            raise Misconfigured(f"--date={self.date!r}: expected a date as YYYY-MM-DD") from None
        return self

    @property
    def tiles(self) -> int:
        """Number of tiles: those of `hours`, or `groups`."""
        return max(1, round(self.hours * 3600 / self.cadence_s)) if self.hours else self.groups

    @property
    def channels_per_subband(self) -> int:
        """Channels in one file."""
        return self.channels // BAND.subbands

    @property
    def channel_width_hz(self) -> float:
        """Width of one channel, Hz."""
        return BAND.subband_width_hz / self.channels_per_subband
