"""Short excerpts in the formats in which NVSS, FIRST, RACS and VLASS are published, built into catalogues."""

import gzip

import numpy as np
import pytest
from astropy import units
from astropy.table import QTable, Table

from contimg.common.errors import BadInput, Misconfigured
from contimg.sky.catalogue import open_catalogue
from contimg.sky.catalogue.build import BuildOptions, build_catalogue

# First bytes of the columns of nvss.dat (VIII/65 of the CDS), whose lines have 158 bytes.
NVSS_BYTES = {
    "Field": 1, "Xpos": 10, "Ypos": 18, "NVSS": 26, "RAh": 41, "RAm": 44, "RAs": 47, "DE-": 53, "DEd": 54, "DEm": 57,
    "DEs": 60, "e_RAs": 65, "e_DEs": 71, "S1.4": 76, "e_S1.4": 85, "l_MajAxis": 93, "MajAxis": 94, "l_MinAxis": 100,
    "MinAxis": 101, "PA": 107, "e_MajAxis": 113, "e_MinAxis": 118, "e_PA": 123,
}  # fmt: skip
NVSS_ROWS = (
    ["C0000P00", " 512.73", " 489.15", "000000-002033", "00", "00", "00.37", "-", "00", "20", "33.1", " 0.14", " 2.4",
     "     5.2", "    0.5", "<", " 64.4", "<", " 59.4", "", "", "", ""],
    ["C0136P32", " 401.22", " 611.80", "013741+330932", "01", "37", "41.32", "+", "33", "09", "35.3", " 0.03", " 0.5",
     " 16018.3", "  480.6", "", " 17.4", "", " 11.2", "-64.1", " 0.4", " 0.4", " 2.1"],
    ["C2356P88", " 355.10", " 402.10", "235959+890112", "23", "59", "59.80", "+", "89", "01", "12.0", " 8.10", " 1.1",
     "    48.0", "    1.5", "<", " 20.1", "<", " 18.0", "", "", "", ""],
)  # fmt: skip


def nvss_line(row):
    line = [" "] * 158
    for first, cell in zip(NVSS_BYTES.values(), row, strict=True):
        line[first - 1 : first - 1 + len(cell)] = cell
    return "".join(line)


def build(tmp_path, preset, table, **options):
    path = tmp_path / f"{preset}.catalogue"
    built = build_catalogue(path, preset, table, BuildOptions(preset=preset, **options))
    assert built == open_catalogue(path)
    return built, {source: row for source, row in rows_of(built)}


def rows_of(catalogue):
    for batch in catalogue.batches():
        for index, source_id in enumerate(batch.source_id):
            yield str(source_id), batch[index : index + 1]


@pytest.mark.parametrize("suffix", [".dat", ".dat.gz"])
def test_nvss_of_the_cds(tmp_path, suffix):
    table = tmp_path / f"nvss{suffix}"
    text = "".join(f"{nvss_line(row)}\n" for row in NVSS_ROWS)
    table.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    catalogue, rows = build(tmp_path, "nvss", table)
    assert (catalogue.n_sources, catalogue.frequency_hz, catalogue.beam_deg) == (3, 1.4e9, 45 / 3600)
    assert catalogue.flux_limit_jy == 2.5e-3
    assert set(rows) == {"000000-002033", "013741+330932", "235959+890112"}
    faint, bright, polar = rows["000000-002033"], rows["013741+330932"], rows["235959+890112"]
    assert faint.ra_deg[0] == pytest.approx(0.37 * 15 / 3600)
    assert faint.dec_deg[0] == pytest.approx(-(20 / 60 + 33.1 / 3600))  # the sign of -00 degrees
    assert (faint.flux_jy[0], faint.flux_error_jy[0]) == pytest.approx((5.2e-3, 0.5e-3))
    assert not faint.is_resolved[0]  # its size is an upper limit
    assert faint.position_error_deg[0] == pytest.approx(2.4 / 3600)
    assert bright.flux_jy[0] == pytest.approx(16.0183)
    assert bright.is_resolved[0]
    assert bright.major_deg[0] * 3600 == pytest.approx(17.4)
    assert bright.angle_deg[0] == pytest.approx(180 - 64.1)
    # 8.10 s of right ascension are 2.1 arcsec at this declination.
    assert polar.position_error_deg[0] * 3600 == pytest.approx(8.1 * 15 * np.cos(np.deg2rad(89 + 72 / 3600)), rel=1e-3)


def test_nvss_of_vizier_as_tsv_and_votable(tmp_path):
    columns = ["_RAJ2000", "_DEJ2000", "NVSS", "e_RAJ2000", "e_DEJ2000", "S1.4", "e_S1.4", "l_MajAxis", "MajAxis"]
    rows = [
        ["0.00154", "-0.34253", "000000-002033", "0.14", "2.4", "5.2", "0.5", "<", "64.4"],
        ["24.42217", "33.15981", "013741+330932", "0.03", "0.5", "16018.3", "480.6", "", "17.4"],
    ]
    stated = ["deg", "deg", "", "s", "arcsec", "mJy", "mJy", "", "arcsec"]
    tsv = tmp_path / "nvss.tsv"
    rule = ["-" * max(1, len(name)) for name in columns]
    lines = ["#Table VIII_65_nvss:", *("\t".join(row) for row in (columns, stated, rule, *rows))]
    tsv.write_text("\n".join(lines) + "\n")
    by_tsv, from_tsv = build(tmp_path, "nvss", tsv)
    values = {
        name: [row[number] for row in rows] if name in ("NVSS", "l_MajAxis") else [float(row[number]) for row in rows]
        for number, name in enumerate(columns)
    }
    table = Table(values)
    for name, unit in zip(columns, stated, strict=True):
        if unit:
            table[name].unit = unit
    for form in ("tabledata", "binary2"):
        votable = tmp_path / f"nvss-{form}.vot"
        table.write(votable, format="votable", tabledata_format=form)
        by_votable, from_votable = build(tmp_path, "nvss", votable)
        assert by_votable.version == by_tsv.version
        assert set(from_votable) == set(from_tsv) == {"000000-002033", "013741+330932"}
    assert from_tsv["013741+330932"].is_resolved[0]
    assert not from_tsv["000000-002033"].is_resolved[0]
    assert from_tsv["000000-002033"].flux_jy[0] == pytest.approx(5.2e-3)


FIRST_ROWS = (
    # RA, Dec, sidelobe probability, peak, integrated, rms (mJy), sizes (arcsec)
    (357.994625, -3.105508, 0.014, 8.95, 9.41, 0.151, 1.52, 0.0, 78.8, 5.61, 5.40, 78.8),
    (0.003167, 11.164639, 0.014, 1.23, 8.80, 0.144, 14.4, 5.1, 30.0, 15.4, 7.4, 30.0),
    (10.0, 0.0, 0.62, 1.02, 1.40, 0.14, 3.0, 2.0, 0.0, 6.2, 5.8, 0.0),  # a sidelobe
)


def test_first_as_fits_and_as_text(tmp_path):
    names = (
        "RA", "DEC", "SIDEPROB", "FPEAK", "FINT", "RMS", "MAJOR", "MINOR", "POSANG", "FITTED_MAJOR", "FITTED_MINOR",
        "FITTED_POSANG",
    )  # fmt: skip
    fits = tmp_path / "first_14dec17.fits.gz"
    Table([np.array(column) for column in zip(*FIRST_ROWS, strict=True)], names=names).write(fits)
    _, from_fits = build(tmp_path, "first", fits)
    text = tmp_path / "catalog_14dec17.bin"
    text.write_text(
        "# RA(2000)   Dec(2000)    Side   Fpeak    Fint   Rms   Maj Min PA fMaj fMin fPA Field\n"
        "23 51 58.710 -03 06 19.83 0.014    8.95    9.41 0.151   1.52   0.00  78.8   5.61   5.40  78.8 23525-03062E\n"
        "00 00 00.760 +11 09 52.70 0.014    1.23    8.80 0.144  14.40   5.10  30.0  15.40   7.40  30.0 00000+11120E\n"
        "00 40 00.000 +00 00 00.00 0.620    1.02    1.40 0.140   3.00   2.00   0.0   6.20   5.80   0.0 00400+00000E\n"
    )
    catalogue, from_text = build(tmp_path, "first", text)
    assert catalogue.beam_deg * 3600 == pytest.approx(5.4)
    assert set(from_fits) == set(from_text) == {"J235158.7-030619", "J000000.7+110952"}
    compact, extended = from_text["J235158.7-030619"], from_text["J000000.7+110952"]
    assert compact.ra_deg[0] == pytest.approx(357.994625)
    assert compact.flux_jy[0] == pytest.approx(9.41e-3)
    assert (compact.is_resolved[0], extended.is_resolved[0]) == (False, True)
    # 90 % radius: 5.61 arcsec (1/SNR + 1/20), SNR = (8.95 - 0.25) / 0.151.
    assert compact.position_error_deg[0] * 3600 == pytest.approx(5.61 * (0.151 / 8.7 + 0.05) / 1.645, rel=1e-6)


def test_first_of_vizier_has_sexagesimal_positions(tmp_path):
    tsv = tmp_path / "first.tsv"
    columns = ["FIRST", "RAJ2000", "DEJ2000", "p(S)", "Fpeak", "Fint", "Rms", "Maj", "Min", "PA", "fMaj"]
    stated = ["", '"h:m:s"', '"d:m:s"', "", "mJy", "mJy", "mJy", "arcsec", "arcsec", "deg", "arcsec"]
    rows = (
        ["J235158.7-030619", "23 51 58.710", "-03 06 19.83", "0.014", "8.95", "9.41", "0.151", "1.52", "0.0", "78.8",
         "5.61"],
        ["J004000.0+000000", "00 40 00.000", "+00 00 00.00", "0.620", "1.02", "1.40", "0.140", "3.00", "2.0", "0.0",
         "6.20"],
    )  # fmt: skip
    rule = ["-" * max(1, len(name)) for name in columns]
    tsv.write_text(
        "#Table VIII_92_first14:\n" + "".join("\t".join(row) + "\n" for row in (columns, stated, rule, *rows))
    )
    catalogue, rows_by_name = build(tmp_path, "first", tsv)
    assert (list(rows_by_name), catalogue.frequency_hz) == (["J235158.7-030619"], 1.4e9)
    assert rows_by_name["J235158.7-030619"].ra_deg[0] == pytest.approx(357.994625)
    assert rows_by_name["J235158.7-030619"].dec_deg[0] == pytest.approx(-3.105508, abs=1e-6)
    assert rows_by_name["J235158.7-030619"].flux_jy[0] == pytest.approx(9.41e-3)


def test_racs_low_as_votable(tmp_path):
    low = QTable(
        {
            "source_name": ["RACS-DR1 J235936.0-100000", "RACS-DR1 J004000.0+250000"],
            "source_id": ["RACS_0000+00A_1", "RACS_0000+00A_2"], "ra": [359.9, 10.0] * units.deg,
            "dec": [-10.0, 25.0] * units.deg, "e_ra": [0.5, 0.6] * units.arcsec, "e_dec": [0.4, 0.7] * units.arcsec,
            "total_flux_source": [20.0, 900.0] * units.mJy, "e_total_flux_source": [1.5, 60.0] * units.mJy,
            "peak_flux": [19.5, 500.0] * units.mJy / units.beam, "e_peak_flux": [0.6, 30] * units.mJy / units.beam,
            "dc_maj": [3.0, 40.0] * units.arcsec, "dc_min": [1.0, 20.0] * units.arcsec, "dc_pa": [10.0, 20] * units.deg,
        }
    )  # fmt: skip
    votable = tmp_path / "racs.xml"
    low.write(votable, format="votable")
    catalogue, rows = build(tmp_path, "racs", votable)
    assert (catalogue.frequency_hz, round(catalogue.beam_deg * 3600)) == (887.5e6, 25)
    east, west = rows["RACS-DR1 J004000.0+250000"], rows["RACS-DR1 J235936.0-100000"]
    assert (west.is_resolved[0], east.is_resolved[0]) == (False, True)
    assert east.flux_jy[0] == pytest.approx(0.9)
    assert east.flux_at(1.4e9)[0] == pytest.approx(0.9 * (1.4e9 / 887.5e6) ** -0.7)


def test_racs_mid_as_csv_and_not_another_frequency(tmp_path):
    csv = tmp_path / "racs_mid.csv"
    header = (
        "id,name,source_id,ra,dec,dec_corr,e_ra,e_dec,e_dec_corr,total_flux,e_total_flux_pybdsf,e_total_flux,peak_flux,"
        "e_peak_flux,dc_maj_axis,dc_min_axis,dc_pa,flag\n"
    )
    row = "1,RACS-{} J000001.2+301500,x1,0.005,30.25,30.2501,0.3,0.4,0.5,12.5,0.2,0.9,12.0,0.2,0.0,0.0,0.0,0\n"
    csv.write_text(header + row.format("MID1"))
    mid, rows = build(tmp_path, "racs", csv)
    assert mid.frequency_hz == 1367.5e6
    source = rows["RACS-MID1 J000001.2+301500"]
    assert source.dec_deg[0] == 30.2501  # the corrected one
    assert source.flux_error_jy[0] == pytest.approx(0.9e-3)  # with the error of the flux scale
    csv.write_text(header + row.format("HIGH1"))
    with pytest.raises(Misconfigured, match="--frequency-mhz"):
        build(tmp_path, "racs", csv)
    assert build(tmp_path, "racs", csv, frequency_hz=1655.5e6)[0].frequency_hz == 1655.5e6


VLASS_NAMES = (
    "Component_name,RA,DEC,E_RA,E_DEC,Total_flux,E_Total_flux,Peak_flux,E_Peak_flux,DC_Maj,DC_Min,DC_PA,S_Code,"
    "Duplicate_flag,Quality_flag\n"
)
VLASS_ROWS = (
    "VLASS1QLCIR J000000.34+112356.1,0.00143,11.39893,1.1e-5,1.2e-5,7.5,0.4,7.3,0.2,0.0,0.0,0.0,S,0,0\n"
    "VLASS1QLCIR J000000.35+112356.2,0.00144,11.39894,1.1e-5,1.2e-5,7.6,0.4,7.3,0.2,0.0,0.0,0.0,S,2,0\n"
    "VLASS1QLCIR J000100.00+112356.2,0.25,11.39894,1.1e-5,1.2e-5,2.2,0.4,2.3,0.2,0.0,0.0,0.0,S,1,4\n"
    "VLASS1QLCIR J000200.00+112356.2,0.50,11.39894,1.1e-5,1.2e-5,2.6,0.4,1.3,0.2,3.0,1.0,0.0,S,0,3\n"
    "VLASS1QLCIR J000300.00+112356.2,0.75,11.39894,1.1e-5,1.2e-5,2.6,0.4,1.3,0.2,3.0,1.0,0.0,E,0,0\n"
)


@pytest.mark.parametrize("publisher", ["CIRADA", "VizieR"])
def test_vlass_leaves_out_duplicates_doubtful_and_empty_components(tmp_path, publisher):
    csv, names = tmp_path / "components.csv", VLASS_NAMES
    if publisher == "VizieR":
        names = (
            "CompName,RAJ2000,DEJ2000,e_RAJ2000,e_DEJ2000,Ftot,e_Ftot,Fpeak,e_Fpeak,DCMaj,DCMin,DCPA,SCode,DupFlag,"
            "QualFlag\n"
        )
    csv.write_text(names + VLASS_ROWS)
    catalogue, rows = build(tmp_path, "vlass", csv)
    # Fluxes below the peak (4) are kept: without them faint sources would be too bright.
    assert list(rows) == ["VLASS1QLCIR J000000.34+112356.1", "VLASS1QLCIR J000100.00+112356.2"]
    assert (catalogue.frequency_hz, catalogue.source_table) == (3e9, str(csv))
    assert rows["VLASS1QLCIR J000000.34+112356.1"].position_error_deg[0] == pytest.approx(1.2e-5)


PUBLISHED = {  # header, and row of a number, position and flux in mJy
    "first": ("RA,DEC,FPEAK,FINT,RMS,FITTED_MAJOR", "{ra},{dec},{flux},{flux},0.1,5.4"),
    "racs": ("source_name,ra,dec,total_flux_source,peak_flux", "RACS-DR1 {n},{ra},{dec},{flux},{flux}"),
    "vlass": ("Component_name,RA,DEC,Total_flux,Peak_flux", "VLASS {n},{ra},{dec},{flux},{flux}"),
    "nvss": ("NVSS\t_RAJ2000\t_DEJ2000\tS1.4", "{n}\t{ra}\t{dec}\t{flux}"),
}  # fmt: skip


@pytest.mark.parametrize("preset", list(PUBLISHED))
def test_millijanskys_taken_for_janskys_are_refused_for_every_preset(tmp_path, preset):
    rng = np.random.default_rng(2)
    header, row = PUBLISHED[preset]
    table = tmp_path / "table.csv"
    rows = [
        row.format(n=n, ra=10 + rng.uniform(0, 3), dec=rng.uniform(-1.5, 1.5), flux=2.5 / rng.uniform(1e-3, 1))
        for n in range(400)
    ]
    table.write_text("\n".join([header, *rows]) + "\n")
    catalogue, _ = build(tmp_path, preset, table)
    assert 0.2 < catalogue.count_ratio < 5
    with pytest.raises(BadInput, match="source counts") as refusal:
        build(tmp_path, preset, table, flux_unit="Jy")
    ratio = float(str(refusal.value).split("fluxes are ")[1].split(" ")[0])
    assert ratio == pytest.approx(1000 * catalogue.count_ratio, rel=0.01)


@pytest.mark.parametrize(("unit", "ra"), [("deg", 150.0), ("rad", np.deg2rad(150)), ("h", 10.0), ("arcmin", 9000.0)])
def test_units_of_positions_are_read(tmp_path, unit, ra):
    table, path = tmp_path / "site.tsv", tmp_path / "site.catalogue"
    table.write_text(f"ra\tdec\ts\n{unit}\tdeg\tmJy\n---\t---\t---\n{ra}\t20.0\t5.0\n")
    options = BuildOptions(columns={"ra": "ra", "dec": "dec", "flux": "s"}, frequency_hz=1.4e9, beam_arcsec=45.0)
    if unit == "arcmin":
        with pytest.raises(Misconfigured, match="arcmin"):
            build_catalogue(path, "site", table, options)
        return
    (_, source), *_ = rows_of(build_catalogue(path, "site", table, options))
    assert source.ra_deg[0] == pytest.approx(150.0)


def test_what_a_table_lacks_is_named(tmp_path):
    csv = tmp_path / "site.csv"
    csv.write_text("RA,DEC,S\n10,20,30\n")
    path, columns = tmp_path / "site.catalogue", {"ra": "RA", "dec": "DEC", "flux": "S"}
    with pytest.raises(Misconfigured, match="RA, DEC, S"):
        build_catalogue(path, "site", csv, BuildOptions())
    lacking = columns | {"flux": "Flux"}
    with pytest.raises(Misconfigured, match="no column Flux"):
        build_catalogue(path, "site", csv, BuildOptions(columns=lacking, frequency_hz=1.4e9, beam_arcsec=45.0))
    with pytest.raises(Misconfigured, match="--frequency-mhz"):
        build_catalogue(path, "site", csv, BuildOptions(columns=columns))
    known = {"columns": columns, "frequency_hz": 1.4e9, "beam_arcsec": 45.0}
    with pytest.raises(Misconfigured, match="--flux-unit"):
        build_catalogue(path, "site", csv, BuildOptions(**known))
    assert build_catalogue(path, "site", csv, BuildOptions(**known, flux_unit="mJy")).n_sources == 1
    for content, message in (("", "is empty"), ("RA,DEC,S\n", "no source")):
        csv.write_text(content)
        with pytest.raises(BadInput, match=message):
            build_catalogue(path, "site", csv, BuildOptions(**known, flux_unit="mJy"))
    csv.write_text("RA,DEC,S\n10,20,many\n")
    with pytest.raises(BadInput, match="many"):
        build_catalogue(path, "site", csv, BuildOptions(**known, flux_unit="mJy"))
    assert open_catalogue(path).n_sources == 1  # the earlier file is left as it was


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".vot", ".fits", ".dat"])
def test_a_table_that_is_cut_short_is_refused(tmp_path, suffix):
    rows = {"ra": np.arange(3000) / 10, "dec": np.arange(3000) / 50, "flux": np.full(3000, 0.1)}
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    plain = "ra,dec,flux\n" + "".join(f"{ra},{dec},{flux}\n" for ra, dec, flux in zip(*rows.values(), strict=True))
    if suffix == ".dat":
        whole.write_bytes(b"\xff\xfe no text \x80\n" * 100)
    elif suffix.startswith(".csv"):
        whole.write_bytes(gzip.compress(plain.encode()) if suffix.endswith("gz") else plain.encode())
    else:
        Table(rows).write(whole, format="votable" if suffix == ".vot" else "fits")
    content = whole.read_bytes()
    end = content.rindex(b",") - 2 if suffix == ".csv" else len(content) // 2
    cut.write_bytes(content[:end])
    columns = {"ra": "w1", "dec": "w2", "flux": "w3"} if suffix == ".dat" else {name: name for name in rows}
    options = BuildOptions(columns=columns, flux_unit="Jy", frequency_hz=1.4e9, beam_arcsec=45.0)
    with pytest.raises(BadInput, match=f"cut{suffix}"):
        build_catalogue(tmp_path / "site.catalogue", "site", cut, options)
    assert not (tmp_path / "site.catalogue").exists()
