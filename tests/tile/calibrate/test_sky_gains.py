"""Gains of a tile from the catalogued sources in its beam: found, tied to the flux scale, and kept only where right."""

import numpy as np
import pytest
from casacore.tables import table
from small_ms import SLOTS, SOURCES, make_ms, random_gains

from contimg.common.errors import Misconfigured
from contimg.formats.ms.columns import read_calibration_record
from contimg.formats.ms.info import read_ms_info
from contimg.quality.calibration import CalibrationClass
from contimg.sky.catalogue import SIMULATED, CatalogueSources, Provenance, open_catalogue, write_catalogue
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.calibrate.sky_gains.field import make_field
from contimg.tile.calibrate.sky_gains.products import mean_freqs_hz, split_band, sum_products

SKY = ((24.02, 33.42, 2.0), (23.7, 33.0, 1.0), (24.9, 33.9, 1.5))
TARGET = "2026-02-22T23:40:00"


def catalogued(rows, **changes):
    ra_deg, dec_deg, flux_jy = (np.array(values, dtype=float) for values in zip(*rows, strict=True))
    zeros = np.zeros(ra_deg.size)
    columns = {
        "ra_deg": ra_deg, "dec_deg": dec_deg, "position_error_deg": zeros, "flux_jy": flux_jy, "flux_error_jy": zeros,
        "spectral_index": zeros, "major_deg": zeros, "minor_deg": zeros, "angle_deg": zeros, "is_resolved": zeros > 0,
        "is_confused": zeros > 0, "is_isolated": zeros == 0, "is_index_assumed": zeros > 0,
    }  # fmt: skip
    return CatalogueSources.of(1.4e9, [f"s{i}" for i in range(ra_deg.size)], **(columns | changes))


def catalogue(path, rows):
    kept = Provenance(name=path.stem, kind=SIMULATED, frequency_hz=1.4e9, beam_deg=0.005, flux_limit_jy=0.001)
    write_catalogue(path, catalogued(rows), kept)
    return str(path)


def sky(rows=SKY):
    return [(ra, dec, lambda f, flux=flux: flux + 0 * f) for ra, dec, flux in rows]


def turned(turn_deg, grow=0.0, seed=2):
    """Gains since the set was solved, of geometric mean amplitude 1 in each receptor."""
    rng = np.random.default_rng(seed)
    phase, logarithm = rng.normal(size=(2, len(SLOTS), 1, 2))
    return np.exp(1j * np.deg2rad(turn_deg) * phase + grow * (logarithm - logarithm.mean(axis=0)))


@pytest.fixture(scope="module")
def tile(calibrated, tmp_path_factory):
    """Calibrate a target whose antennas have turned since the set was solved, with a catalogue."""

    def make(turn, rows=SKY, catalogue_rows=SKY, noise=1.0, tie=None, **changes):
        scratch = tmp_path_factory.mktemp("sky")
        truth = make_ms(scratch / f"{TARGET}.ms", sources=sky(rows), gains=random_gains() * turn, noise=noise, seed=6)
        options = CalibrateOptions(solve=False, flag=False, **changes)
        if catalogue_rows is not None:
            options = options.replace(catalogue=catalogue(scratch / "sky.catalogue", catalogue_rows))
        new = calibrated.done.new_set
        if tie is not None:
            new = new.with_catalogue(open_catalogue(options.catalogue).label, tie)
        done = calibrate(truth.path, [new], scratch / "calibration", options)
        return truth, done

    return make


def recovered(truth):
    """Flux of CORRECTED_DATA over the truth's."""
    with table(str(truth.path), ack=False) as main:
        data, good = main.getcol("CORRECTED_DATA"), ~main.getcol("FLAG")
        good &= (main.getcol("ANTENNA1") != main.getcol("ANTENNA2"))[:, None, None]
        record = read_calibration_record(main, "CORRECTED_DATA")
    return float((data * np.conj(truth.sky)).real[good].sum() / (np.abs(truth.sky[good]) ** 2).sum()), record


def test_drifted_phases_are_corrected(tile):
    """Today's result is that of the bandpass alone: exp(-σ²) of the flux."""
    turn = turned(30.0)
    before, record = recovered(tile(turn, catalogue_rows=None)[0])
    assert before < 0.85
    assert record["sky_gains"]["gains"] is None
    assert "no reference catalogue" in record["sky_gains"]["reason"]
    truth, done = tile(turn)
    after, record = recovered(truth)
    assert after == pytest.approx(1.0, abs=0.02)
    assert done.calibration_class == record["calibration_class"] == CalibrationClass.SKY_MODEL
    phases = np.angle(turn[:, 0] * np.exp(-1j * np.angle(turn.sum(axis=0))))
    assert done.phase_residual_deg == pytest.approx(np.rad2deg(np.sqrt(np.mean(phases**2))), rel=0.1)
    assert done.gain_snr > 20
    phase_deg = {(row.antenna, row.polarisation): row.phase_deg for row in done.antenna_numbers}
    assert phase_deg[str(SLOTS[3]), "Y"] == pytest.approx(np.rad2deg(phases[3, 1]), abs=5)
    assert done.flux_loss_fraction is None
    assert record["sky_gains"]["catalogue"].startswith("sky (version ")


def test_amplitudes_keep_the_flux_scale(tile):
    turn = turned(10.0, 0.15)
    truth, _ = tile(turn)
    ratio, record = recovered(truth)
    amplitude = np.array(record["sky_gains"]["gains"]["amplitude"])
    assert ratio == pytest.approx(1.0, abs=0.02)
    assert np.abs(np.log(amplitude / np.abs(turn[:, 0]))).max() < 0.1
    assert np.exp(np.log(amplitude).mean(axis=0)) == pytest.approx(1.0, abs=0.01)


def test_mean_amplitude_follows_the_model_where_the_walk_explains_it(tile):
    """Fluxes have walked by -4 %: they are those of the catalogue; a catalogue wrong by 30 % leaves the set's scale."""
    assert recovered(tile(0.98 * turned(10.0, 0.15), tie=1.0)[0])[0] == pytest.approx(1.0, abs=0.01)
    wrong = tuple((ra, dec, 1.3 * flux) for ra, dec, flux in SKY)
    truth, done = tile(turned(10.0, 0.15), catalogue_rows=wrong)
    ratio, record = recovered(truth)
    amplitude = np.array(record["sky_gains"]["gains"]["amplitude"])
    assert np.exp(np.log(amplitude).mean(axis=0)) == pytest.approx(1.0, abs=1e-3)
    assert ratio == pytest.approx(1.0, abs=0.02)
    assert "mean that of the set" in done.calibration_note


def test_wrong_flux_of_the_brightest_source_does_not_count(tile):
    """Fluxes have walked by -4 %, and the catalogue has 30 % too much for the brightest of six sources."""
    sources = (*SKY, (24.4, 33.0, 0.8), (23.5, 33.7, 0.9), (24.2, 33.9, 1.1))
    wrong = tuple((ra, dec, flux * (1.3 if flux == 2.0 else 1.0)) for ra, dec, flux in sources)
    ratio, _ = recovered(tile(0.98 * turned(10.0, 0.15), rows=sources, catalogue_rows=wrong, tie=1.0)[0])
    assert ratio == pytest.approx(1.0, abs=0.015)


def test_catalogue_scale_is_compared_at_the_calibrator(tile):
    """A catalogue is wrong by 5 % everywhere, with the calibrator in it after a walk of -4 %, and without."""
    wrong = tuple((ra, dec, 1.05 * flux) for ra, dec, flux in SKY)
    turn = 0.98 * turned(10.0, 0.15)
    tied, _ = recovered(tile(turn, catalogue_rows=wrong, tie=1.05)[0])
    assert tied == pytest.approx(1.0, abs=0.01)
    truth, done = tile(turned(10.0, 0.15), catalogue_rows=wrong)
    untied, _ = recovered(truth)
    assert 1.01 < untied < 1.025
    assert "calibrator is not in it" in done.calibration_note


@pytest.mark.parametrize("factors", [(1.3, 1.3, 1.3), (0.7, 1.3, 1.0)], ids=["scale", "sources"])
def test_wrong_model_keeps_the_flux_scale(tile, factors):
    """Fluxes of the catalogue are wrong by 30 %."""
    wrong = tuple((ra, dec, flux * factor) for (ra, dec, flux), factor in zip(SKY, factors, strict=True))
    ratio, _ = recovered(tile(turned(20.0), catalogue_rows=wrong)[0])
    assert ratio == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("factors", [(1.0, 1.0, 1.0), (0.7, 1.3, 1.0)], ids=["right", "wrong"])
def test_nothing_gets_worse_without_drift(tile, factors):
    model = tuple((ra, dec, flux * factor) for (ra, dec, flux), factor in zip(SKY, factors, strict=True))
    before, _ = recovered(tile(1.0, catalogue_rows=None)[0])
    after, _ = recovered(tile(1.0, catalogue_rows=model)[0])
    assert after > before - 0.01


def test_noise_is_not_fitted(tile):
    """The catalogued source is faint in this noise and the phases are right: the set alone is used."""
    faint = ((24.02, 33.42, 0.4),)
    truth, done = tile(1.0, rows=faint, catalogue_rows=faint, noise=8.0)
    _, record = recovered(truth)
    assert done.calibration_class != CalibrationClass.SKY_MODEL
    assert record["sky_gains"]["gains"] is None
    assert "no gains from the sky" in done.calibration_note


def test_faint_field_has_the_set_alone(tile):
    _, done = tile(turned(30.0), catalogue_rows=((24.02, 33.42, 0.045),))
    assert "mJy apparent, 50 needed" in done.calibration_note
    assert done.calibration_class != CalibrationClass.SKY_MODEL
    assert done.phase_residual_deg is None
    assert "from the sky" not in tile(1.0, sky_gains=False)[1].calibration_note


def test_model_matches_visibilities(corrupted):
    """A source at the edge and a Gaussian, against the sum of the tile's own exponentials."""
    ms = read_ms_info(corrupted.path)
    rows = [(*SOURCES["second"], 1.5)]
    edges = split_band(ms)
    identity = np.ones((1, len(SLOTS), len(ms.freqs_hz), 2), dtype=np.complex64)
    truth = make_ms(corrupted.path.with_name("perfect.ms"), sources=sky(rows), noise=0.0)
    ms = read_ms_info(truth.path)
    sums = sum_products(ms, identity, edges, make_field(ms, catalogued(rows), mean_freqs_hz(ms, edges)))
    ratio = sums.products[sums.power > 0] / sums.power[sums.power > 0]
    assert np.abs(ratio - 1).max() < 0.02
    field = make_field(ms, catalogued(rows), mean_freqs_hz(ms, edges))
    wide = catalogued(rows, major_deg=np.array([0.02]), minor_deg=np.array([0.01]), is_resolved=np.array([True]))
    resolved = sum_products(ms, identity, edges, make_field(ms, wide, mean_freqs_hz(ms, edges)))
    # V / M = exp(+π² (θmaj² v² + θmin² u²) / (4 ln 2)) with the position angle 0
    good = resolved.power[0, 0, :, 0] > 0
    with table(str(truth.path), ack=False) as main:
        first = main.getcol("TIME") == ms.times_mjd_s[0]
        uvw = main.getcol("UVW")[first] * ms.freqs_hz.mean() / 299792458.0
        pairs = main.getcol("ANTENNA1")[first] * len(SLOTS) + main.getcol("ANTENNA2")[first]
    index = np.searchsorted(pairs, resolved.antenna1 * len(SLOTS) + resolved.antenna2)
    u, v = uvw[index, 0], uvw[index, 1]
    expected = np.exp(-(np.pi**2) / (4 * np.log(2)) * ((np.deg2rad(0.02) * v) ** 2 + (np.deg2rad(0.01) * u) ** 2))
    model = np.sqrt(resolved.power / np.maximum(sums.power, 1e-30))[0, 0, :, 0]
    assert np.allclose(model[good], expected[good], rtol=1e-3)
    assert field.mean_jy[0] < 1.5


def test_outside_sources_are_listed(tile):
    """A source 2.6 degrees from the centre is in the model, and in the record."""
    far = (24.0, 30.8, 30.0)
    truth, _ = tile(turned(20.0), rows=(*SKY, far), catalogue_rows=(*SKY, far))
    _, record = recovered(truth)
    (listed,) = record["sky_gains"]["outside"]
    assert listed["dec_deg"] == pytest.approx(30.8)
    assert listed["apparent_jy"] < 0.1 * listed["flux_jy"]


def test_missing_catalogue_is_a_wrong_setting(tile, tmp_path):
    with pytest.raises(Misconfigured, match=r"gone\.catalogue"):
        tile(1.0, catalogue_rows=None, catalogue=str(tmp_path / "gone.catalogue"))
