"""A small Measurement Set made from first principles: antenna positions, directions, complex exponentials.

Nothing here comes from the package but the stations' coordinates and the primary beam's number. E_a of a plane wave
from unit vector s is exp(2 pi i nu x_a.s/c); V12 = E1 E2*, then turned to the phase centre.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import ITRS, EarthLocation, SkyCoord
from astropy.time import Time
from casacore.tables import default_ms, makearrcoldesc, maketabdesc, table

from contimg.instrument.bundled_data import use_bundled_iers
from contimg.instrument.dsa110 import primary_beam, stations

C = 299_792_458.0
SLOTS = (1, 5, 12, 18, 30, 44, 52, 60, 71, 80, 90, 100, 103, 105)
TIMES, INTEGRATION_S = 8, 12.884902
FREQS = 1.38e9 + 244140.625 * np.arange(192)
CENTRE_TIME = Time("2026-02-22T23:20:25", scale="utc")  # the phase centre transits
SOURCES = {"3C48": (24.42208096, 33.15975916), "second": (24.9, 33.9)}


@dataclass(frozen=True)
class Truth:
    """What was put into the Measurement Set."""

    path: Path
    gains: np.ndarray  # (antennas, channels, 2)
    sky: np.ndarray  # (rows, channels, 2), noise-free and uncorrupted
    noise: float
    slots: tuple[int, ...]


def flux_3c48(freqs):
    """Perley & Butler (2017), table 6, written out once more."""
    g = np.log10(freqs / 1e9)
    return 10 ** (1.3253 - 0.7553 * g - 0.1914 * g**2 + 0.0498 * g**3)


def unit_vectors(times, ra_deg, dec_deg):
    """ITRF unit vectors of an ICRS direction by astropy's frames, (times, 3)."""
    itrf = SkyCoord(ra_deg * u.deg, dec_deg * u.deg).transform_to(ITRS(obstime=times))
    vector = itrf.cartesian.xyz.value.T
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)


def make_ms(path, *, sources=None, gains=None, noise=0.3, seed=1, centre=(24.0, 33.4), pointing=None, slots=SLOTS):
    """Write an MS; `sources` are (ra, dec, flux function), seen through the primary beam."""
    use_bundled_iers()
    rng = np.random.default_rng(seed)
    pointing = pointing or centre
    by_number = {station.number: station for station in stations()}
    places = [by_number[number] for number in slots]
    positions = np.array(
        [EarthLocation.from_geodetic(p.longitude_deg, p.latitude_deg, p.elevation_m).to_geocentric() for p in places],
        dtype=object,
    )
    positions = np.array([[axis.to_value("m") for axis in row] for row in positions])
    times = CENTRE_TIME + (np.arange(TIMES) - (TIMES - 1) / 2) * INTEGRATION_S * u.s
    first, second = np.triu_indices(len(slots))
    baselines = positions[first] - positions[second]
    w = unit_vectors(times, *centre)
    north = unit_vectors(times, centre[0], centre[1] + 0.01) - unit_vectors(times, centre[0], centre[1] - 0.01)
    north -= np.sum(north * w, axis=1, keepdims=True) * w
    north /= np.linalg.norm(north, axis=1, keepdims=True)
    axes = np.stack([np.cross(north, w), north, w], axis=1)
    uvw = np.einsum("tij,bj->tbi", axes, baselines)
    sky = np.zeros((TIMES, first.size, FREQS.size), dtype=np.complex128)
    if sources is None:
        sources = [(*SOURCES["3C48"], flux_3c48), (*SOURCES["second"], lambda f: 1.5 + 0 * f)]
    for ra, dec, flux in sources:
        away = SkyCoord(ra * u.deg, dec * u.deg).separation(SkyCoord(pointing[0] * u.deg, pointing[1] * u.deg))
        path_m = np.einsum("ti,bi->tb", unit_vectors(times, ra, dec) - w, baselines)
        apparent = flux(FREQS) * primary_beam(away.rad, FREQS)
        sky += apparent * np.exp(2j * np.pi * path_m[..., None] * FREQS / C)
    sky = np.repeat(sky.reshape(-1, FREQS.size)[..., None], 2, axis=2)
    if gains is None:
        gains = np.ones((len(slots), FREQS.size, 2), dtype=complex)
    rows1, rows2 = np.tile(first, TIMES), np.tile(second, TIMES)
    data = sky * gains[rows1] * np.conj(gains[rows2])
    scatter = noise * (rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape))
    auto = rows1 == rows2
    scatter[auto] = 0.5 + 0.01 * rng.normal(size=scatter[auto].shape) + 0 * scatter[auto]
    write(path, times, slots, positions, rows1, rows2, uvw.reshape(-1, 3), data + scatter, centre, pointing)
    return Truth(path, gains, sky, noise, tuple(slots))


def write(path, times, slots, positions, rows1, rows2, uvw, data, centre, pointing):
    shape = list(data.shape[1:])
    wide = maketabdesc(
        [
            makearrcoldesc(name, zero, valuetype=kind, shape=shape, datamanagergroup=f"T{name}",
                           datamanagertype="TiledShapeStMan")
            for name, zero, kind in (("DATA", 0j, "complex"), ("FLAG", False, "boolean"))
        ]
    )  # fmt: skip
    info = {
        f"*{i}": {"TYPE": "TiledShapeStMan", "NAME": f"T{name}", "COLUMNS": [name],
                  "SPEC": {"DEFAULTTILESHAPE": np.array([2, 48, 105], dtype=np.int32)}}
        for i, name in enumerate(("DATA", "FLAG"), 1)
    }  # fmt: skip
    count = len(data)
    with default_ms(str(path), wide, info) as main:
        main.addrows(count)
        stamp = np.repeat(times.mjd * 86400.0, count // TIMES)
        for name in ("TIME", "TIME_CENTROID"):
            main.putcol(name, stamp)
        for name in ("INTERVAL", "EXPOSURE"):
            main.putcol(name, np.full(count, INTEGRATION_S))
        main.putcol("ANTENNA1", rows1.astype(np.int32))
        main.putcol("ANTENNA2", rows2.astype(np.int32))
        main.putcol("SCAN_NUMBER", np.ones(count, dtype=np.int32))
        main.putcol("UVW", uvw)
        main.putcol("DATA", data.astype(np.complex64))
        main.putcol("FLAG", np.zeros(data.shape, dtype=bool))
        main.putcol("WEIGHT", np.ones((count, 2), dtype=np.float32))
        main.putcol("SIGMA", np.ones((count, 2), dtype=np.float32))
    subtables(path, times, slots, positions, centre, pointing)


def fill(path, name, **columns):
    with table(f"{path}::{name}", readonly=False, ack=False) as sub:
        sub.addrows(len(next(iter(columns.values()))))
        for column, values in columns.items():
            sub.putcol(column, values)


def subtables(path, times, slots, positions, centre, pointing):
    n, width = len(slots), FREQS[1] - FREQS[0]
    middle = times.mjd.mean() * 86400.0
    fill(
        path, "ANTENNA", NAME=[str(s) for s in slots], STATION=[str(s) for s in slots], TYPE=["GROUND-BASED"] * n,
        MOUNT=["ALT-AZ"] * n, POSITION=positions, OFFSET=np.zeros((n, 3)), DISH_DIAMETER=np.full(n, 4.65),
    )  # fmt: skip
    fill(
        path, "FEED", ANTENNA_ID=np.arange(n, dtype=np.int32), FEED_ID=np.zeros(n, dtype=np.int32),
        SPECTRAL_WINDOW_ID=np.full(n, -1, dtype=np.int32), TIME=np.full(n, middle), INTERVAL=np.full(n, 1e9),
        NUM_RECEPTORS=np.full(n, 2, dtype=np.int32), BEAM_ID=np.full(n, -1, dtype=np.int32),
        BEAM_OFFSET=np.zeros((n, 2, 2)), POL_RESPONSE=np.tile(np.eye(2, dtype=np.complex64), (n, 1, 1)),
        POSITION=np.zeros((n, 3)), RECEPTOR_ANGLE=np.zeros((n, 2)),
        POLARIZATION_TYPE={"shape": [n, 2], "array": ["X", "Y"] * n},
    )  # fmt: skip
    fill(
        path, "SPECTRAL_WINDOW", NUM_CHAN=np.array([FREQS.size], dtype=np.int32), NAME=["band"],
        REF_FREQUENCY=FREQS[:1], CHAN_FREQ=FREQS[None], CHAN_WIDTH=np.full((1, FREQS.size), width),
        EFFECTIVE_BW=np.full((1, FREQS.size), width), RESOLUTION=np.full((1, FREQS.size), width),
        MEAS_FREQ_REF=np.array([5], dtype=np.int32), TOTAL_BANDWIDTH=np.array([width * FREQS.size]),
        NET_SIDEBAND=np.array([1], dtype=np.int32),
    )  # fmt: skip
    fill(path, "POLARIZATION", NUM_CORR=np.array([2], dtype=np.int32), CORR_TYPE=np.array([[9, 12]], dtype=np.int32),
         CORR_PRODUCT=np.array([[[0, 0], [1, 1]]], dtype=np.int32))  # fmt: skip
    fill(path, "DATA_DESCRIPTION", SPECTRAL_WINDOW_ID=np.zeros(1, dtype=np.int32),
         POLARIZATION_ID=np.zeros(1, dtype=np.int32))  # fmt: skip
    direction = np.deg2rad([[centre]])
    fill(path, "FIELD", NAME=["tile"], CODE=[""], TIME=np.array([middle]), NUM_POLY=np.zeros(1, dtype=np.int32),
         DELAY_DIR=direction, PHASE_DIR=direction, REFERENCE_DIR=direction,
         SOURCE_ID=np.full(1, -1, dtype=np.int32))  # fmt: skip
    fill(path, "OBSERVATION", TELESCOPE_NAME=["OVRO_MMA"], OBSERVER=["test"], PROJECT=["test"],
         TIME_RANGE=np.array([[times.mjd[0], times.mjd[-1]]]) * 86400.0)  # fmt: skip
    fill(path, "POINTING", ANTENNA_ID=np.zeros(TIMES, dtype=np.int32), TIME=times.mjd * 86400.0,
         INTERVAL=np.full(TIMES, INTEGRATION_S), NUM_POLY=np.zeros(TIMES, dtype=np.int32),
         DIRECTION=np.tile(np.deg2rad([[pointing]]), (TIMES, 1, 1)),
         TARGET=np.tile(np.deg2rad([[pointing]]), (TIMES, 1, 1)))  # fmt: skip


def random_gains(seed=5, slots=SLOTS):
    """Delays of 150 ns rms, a rippled bandpass and gains of a few tens of per cent, (antennas, channels, 2)."""
    rng = np.random.default_rng(seed)
    shape = (len(slots), 1, 2)
    delay, amplitude = rng.normal(scale=150e-9, size=shape), rng.uniform(0.7, 1.4, size=shape)
    phase, ripple = rng.uniform(-np.pi, np.pi, size=shape), rng.uniform(0, 2 * np.pi, size=shape)
    f = FREQS[None, :, None]
    band = 1 + 0.2 * np.sin(2 * np.pi * (f - FREQS[0]) / 11e6 + ripple)
    return amplitude * band * np.exp(1j * (phase + 2 * np.pi * delay * (f - FREQS.mean())))


def copied(truth, directory):
    target = directory / truth.path.name
    shutil.copytree(truth.path, target)
    return replace(truth, path=target)
