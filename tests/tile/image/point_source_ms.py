"""Measurement Sets of point sources, by a plain direct Fourier transform and a plain rotating Earth.

Independent of the package's converter and simulator: only the station list is shared. Convention of the MS:
V = Σ S exp(+2πi f/c (u l + v m + w (n - 1))).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from casacore.tables import default_ms, makearrcoldesc, maketabdesc, table

from contimg.instrument import dsa110 as telescope
from contimg.tile.image import ImageOptions

SIDEREAL = 7.292115e-5  # rad/s
START_MJD_S = 5278518948.0
DEC0 = np.deg2rad(33.2)
RA0 = np.deg2rad(24.3)


@dataclass(frozen=True)
class Source:
    """Offsets from the phase centre, positive to the east and north, and the true flux."""

    east_deg: float
    north_deg: float
    flux_jy: float

    def direction(self, ra0=RA0, dec0=DEC0):
        """ICRS position in degrees by spherical trigonometry: distance and position angle from the centre."""
        distance = np.deg2rad(np.hypot(self.east_deg, self.north_deg))
        angle = np.arctan2(self.east_deg, self.north_deg)
        dec = np.arcsin(np.sin(dec0) * np.cos(distance) + np.cos(dec0) * np.sin(distance) * np.cos(angle))
        ra = ra0 + np.arctan2(
            np.sin(angle) * np.sin(distance) * np.cos(dec0), np.cos(distance) - np.sin(dec0) * np.sin(dec)
        )
        return np.rad2deg(ra) % 360, np.rad2deg(dec)


# The tile that most tests look at: four sources up to 1 degree off its centre.
SOURCES = (Source(0.05, -0.1, 2.0), Source(0.8, 0.6, 1.5), Source(-0.55, -0.7, 0.8), Source(-0.9, 0.4, 0.4))
OPTIONS = ImageOptions(size=1280, pixel_arcsec=6.0, smearing_percent=0.5)  # the sources lie near the edge


def direction_cosines(ra_deg, dec_deg, ra0=RA0, dec0=DEC0):
    ra, dec = np.deg2rad([ra_deg, dec_deg])
    east = np.cos(dec) * np.sin(ra - ra0)
    north = np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra - ra0)
    return np.array([east, north, np.sqrt(1 - east**2 - north**2) - 1])


def separation_rad(a_deg, b_deg):
    (ra_a, dec_a), (ra_b, dec_b) = np.deg2rad(a_deg), np.deg2rad(b_deg)
    haversine = np.sin((dec_a - dec_b) / 2) ** 2 + np.cos(dec_a) * np.cos(dec_b) * np.sin((ra_a - ra_b) / 2) ** 2
    return 2 * np.arcsin(np.sqrt(haversine))


def antenna_positions(count):
    """Every n-th live station as equatorial X (to the meridian), Y (east), Z (north pole), metres."""
    live = [station for station in telescope.stations() if station.live]
    chosen = [live[round(k)] for k in np.linspace(0, len(live) - 1, count)]
    latitude = np.deg2rad(telescope.LATITUDE_DEG)
    east = [np.deg2rad(s.longitude_deg - telescope.LONGITUDE_DEG) * 6.371e6 * np.cos(latitude) for s in chosen]
    north = [np.deg2rad(s.latitude_deg - telescope.LATITUDE_DEG) * 6.371e6 for s in chosen]
    east, north = np.array(east), np.array(north)
    return np.stack([-np.sin(latitude) * north, east, np.cos(latitude) * north], axis=1)


def uvw_of(baselines, hour_angle, dec=DEC0):
    """Thompson, Moran & Swenson, eq. 4.1; baselines (n, 3) at one hour angle."""
    sh, ch, sd, cd = np.sin(hour_angle), np.cos(hour_angle), np.sin(dec), np.cos(dec)
    return baselines @ np.array([[sh, ch, 0], [-sd * ch, sd * sh, cd], [cd * ch, -cd * sh, sd]]).T


def make_ms(
    path: Path,
    sources=(),
    antennas=32,
    times=6,
    channels=64,
    sefd_jy=0.0,
    airy=True,
    drift=True,
    integration_s=telescope.INTEGRATION_S,
    spacing=1.0,
    corrected=None,
    seed=1,
):
    """Write an MS; `corrected` is None, or what CORRECTED_DATA says of its calibration (a dict, {} for nothing)."""
    rng = np.random.default_rng(seed)
    xyz = antenna_positions(antennas)
    first, second = np.triu_indices(antennas)
    offsets = (np.arange(times) - (times - 1) / 2) * integration_s * spacing
    width = (telescope.BAND.top_hz - telescope.BAND.bottom_hz) / channels
    freqs = telescope.BAND.bottom_hz + (np.arange(channels) + 0.5) * width
    pointing = np.stack([RA0 + (SIDEREAL * offsets if drift else 0 * offsets), np.full(times, DEC0)], axis=1)
    uvw = np.concatenate([uvw_of(xyz[first] - xyz[second], SIDEREAL * offset) for offset in offsets])
    rows = uvw.shape[0]
    main = _create(path, channels, corrected is not None)
    main.addrows(rows)
    main.putcol("UVW", uvw)
    main.putcol("ANTENNA1", np.tile(first, times))
    main.putcol("ANTENNA2", np.tile(second, times))
    stamps = START_MJD_S + offsets
    for name in ("TIME", "TIME_CENTROID"):
        main.putcol(name, np.repeat(stamps, first.size))
    for name in ("INTERVAL", "EXPOSURE"):
        main.putcol(name, np.full(rows, integration_s))
    main.putcol("WEIGHT", np.ones((rows, 2), np.float32))
    main.putcol("SIGMA", np.ones((rows, 2), np.float32))
    sigma = sefd_jy / np.sqrt(2 * width * integration_s)
    for time in range(times):
        block = slice(time * first.size, (time + 1) * first.size)
        values = predict(uvw[block], freqs, sources, pointing[time], airy)
        data = np.repeat(values[..., None], 2, axis=2).astype(np.complex64)
        if sigma:
            data += sigma * rng.standard_normal((*data.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
        for column in ("DATA", "CORRECTED_DATA")[: 1 + (corrected is not None)]:
            main.putcol(column, data, block.start, first.size)
        main.putcol("FLAG", np.zeros(data.shape, bool), block.start, first.size)
    if corrected:
        main.putcolkeyword("CORRECTED_DATA", "CONTIMG_CALIBRATION", json.dumps(corrected))
    main.close()
    _fill_subtables(path, xyz, freqs, width, stamps, pointing, integration_s)
    return path


def predict(uvw, freqs, sources, pointing, airy):
    values = np.zeros((uvw.shape[0], freqs.size), np.complex128)
    for source in sources:
        place = source.direction()
        apparent_jy = np.full(freqs.size, source.flux_jy)
        if airy:
            apparent_jy = apparent_jy * telescope.primary_beam(separation_rad(place, np.rad2deg(pointing)), freqs)
        delay = uvw @ direction_cosines(*place) / telescope.C_M_S
        values += apparent_jy * np.exp(2j * np.pi * delay[:, None] * freqs)
    return values


def _create(path, channels, corrected):
    names = ["DATA"] + ["CORRECTED_DATA"] * corrected
    columns = [makearrcoldesc(name, 0j, valuetype="complex", ndim=2, shape=[channels, 2]) for name in names]
    default_ms(str(path), maketabdesc(columns)).close()
    return table(str(path), ack=False, readonly=False)


def _fill_subtables(path, xyz, freqs, width, stamps, pointing, integration_s):
    def rows(name, **columns):
        with table(f"{path}::{name}", ack=False, readonly=False) as sub:
            for key, values in columns.items():
                if sub.nrows() < len(values):
                    sub.addrows(len(values) - sub.nrows())
                for row, value in enumerate(values):
                    sub.putcell(key, row, value)

    rows("ANTENNA", NAME=[f"pad{k}" for k in range(len(xyz))], POSITION=list(xyz), DISH_DIAMETER=[4.65] * len(xyz))
    widths = np.full(freqs.size, width)
    rows(
        "SPECTRAL_WINDOW",
        NUM_CHAN=[freqs.size],
        CHAN_FREQ=[freqs],
        CHAN_WIDTH=[widths],
        EFFECTIVE_BW=[widths],
        RESOLUTION=[widths],
        REF_FREQUENCY=[freqs[0]],
        TOTAL_BANDWIDTH=[width * freqs.size],
    )
    rows("POLARIZATION", NUM_CORR=[2], CORR_TYPE=[np.array([9, 12])], CORR_PRODUCT=[np.array([[0, 0], [1, 1]])])
    rows("DATA_DESCRIPTION", SPECTRAL_WINDOW_ID=[0], POLARIZATION_ID=[0])
    centre = np.array([[RA0, DEC0]])
    rows("FIELD", NAME=["tile"], DELAY_DIR=[centre], PHASE_DIR=[centre], REFERENCE_DIR=[centre])
    count = len(stamps)
    directions = [np.array([direction]) for direction in pointing]
    rows("OBSERVATION", TELESCOPE_NAME=["OVRO_MMA"], TIME_RANGE=[np.array([stamps[0], stamps[-1]])])
    rows(
        "POINTING",
        ANTENNA_ID=[0] * count,
        TIME=list(stamps),
        INTERVAL=[integration_s] * count,
        NUM_POLY=[0] * count,
        DIRECTION=directions,
        TARGET=directions,
    )
