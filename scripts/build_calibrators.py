"""Write contimg/instrument/data/calibrators.csv from the list of the VLA calibrator manual.

usage: scripts/build_calibrators.py VLA_CALIBRATOR_LIST

Sources with a 20 cm flux of at least 0.1 Jy north of declination -40 deg are kept: faint ones are not calibrators but
are part of the model of a calibrator's tile. The spectral index is between 20 cm and 6 cm. The quality is the worse of
the list's codes for configurations C and D at 20 cm, whose beams bracket the DSA-110's (P: closure errors under 3 %,
S: 3-10 %, W: above, X: do not use). Aliases are the common names, then the B1950 name. A source is variable when it is
a known variable core or blazar, or when its spectrum is flat, since most of its flux then comes from a core.
"""

import csv
import math
import re
import sys
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

TARGET = Path(__file__).parent.parent / "contimg/instrument/data/calibrators.csv"
COLUMNS = ("name", "aliases", "ra_deg", "dec_deg", "flux_20cm_jy", "spectral_index", "quality", "variable")
MIN_FLUX_JY = 0.1
MIN_DEC_DEG = -40.0
DEFAULT_INDEX = -0.7
FLAT_INDEX = -0.3
QUALITY_CODES = "PSWX"
FREQ_20CM_GHZ, FREQ_6CM_GHZ = 1.45, 4.86

_HEAD = re.compile(
    r"^(?P<name>\d{4}[+-]\d{3,4})\s+J2000\s+\S\s+"
    r"(?P<h>\d+)h(?P<m>\d+)m(?P<s>[\d.]+)s\s+(?P<sign>[+-]?)(?P<d>\d+)d(?P<am>\d+)'(?P<as>[\d.]+)\"(?P<rest>.*)$"
)
_BAND = re.compile(r"^\s*(?P<band>20cm|6cm)\s+[LC]\s+\S\s+\S\s+(?P<c>\S)\s+(?P<d>\S)\s+(?P<flux>[\d.]+)")
_B1950 = re.compile(r"^(?P<name>\d{4}[+-]\d{3,4})\s+B1950", re.MULTILINE)
_ALIAS = re.compile(r"\b(3C\d+(\.\d)?|BLLAC|OQ208|NGC\d+|SgrA\*)")
COMMON_NAMES = {  # not in the list
    "0238+166": "AO0235+164", "0423-013": "PKS0420-01", "0433+053": "3C120", "0721+713": "S50716+71",
    "0750+125": "OI280", "0834+555": "4C55.16", "0854+201": "OJ287", "0927+390": "4C39.25", "1751+096": "OT081",
    "2148+069": "4C06.69", "2232+117": "CTA102",
}  # fmt: skip
KNOWN_VARIABLE = {
    "0238+166", "0319+415", "0423-013", "0433+053", "0721+713", "0750+125", "0854+201", "0927+390", "1229+020",
    "1256-057", "1642+398", "1751+096", "1806+698", "2148+069", "2202+422", "2225-049", "2232+117", "2253+161",
}  # fmt: skip
FLUX_SCALE = {"3C48", "3C138", "3C147", "3C196", "3C286", "3C295"}  # steady or monitored by definition


def entries(text: str) -> Iterator[dict[str, str]]:
    """Yield a CSV row per source of the list that is bright enough at 20 cm."""
    for block in re.split(r"\n(?=\d{4}[+-]\d{3,4}\s+J2000)", text):
        head = _HEAD.match(block.splitlines()[0]) if block.strip() else None
        bands = {match["band"]: match for match in map(_BAND.match, block.splitlines()) if match}
        if head is None or "20cm" not in bands:
            continue
        flux = float(bands["20cm"]["flux"])
        dec = float(head["d"]) + float(head["am"]) / 60 + float(head["as"]) / 3600
        dec = -dec if head["sign"] == "-" else dec
        if flux < MIN_FLUX_JY or dec < MIN_DEC_DEG:
            continue
        index = spectral_index(flux, bands.get("6cm"))
        aliases = names(head["name"], head["rest"], block)
        flat = "6cm" in bands and index > FLAT_INDEX
        variable = not FLUX_SCALE.intersection(aliases) and (flat or head["name"] in KNOWN_VARIABLE)
        yield {
            "name": head["name"],
            "aliases": " ".join(aliases),
            "ra_deg": f"{15 * (float(head['h']) + float(head['m']) / 60 + float(head['s']) / 3600):.8f}",
            "dec_deg": f"{dec:.8f}",
            "flux_20cm_jy": f"{flux:g}",
            "spectral_index": f"{index:.2f}",
            "quality": max(bands["20cm"]["c"], bands["20cm"]["d"], key=_badness),
            "variable": str(int(variable)),
        }


def names(name: str, remainder: str, block: str) -> list[str]:
    """Return the aliases of a source: common names, then the B1950 name."""
    aliases = [match.group() for match in _ALIAS.finditer(remainder)]
    aliases += [COMMON_NAMES[name]] if name in COMMON_NAMES else []
    b1950 = _B1950.search(block)
    return [*aliases, b1950["name"]] if b1950 else aliases


def spectral_index(flux_20cm_jy: float, band_6cm: re.Match[str] | None) -> float:
    """Return alpha of S ~ nu^alpha between 20 and 6 cm; that of most radio sources where 6 cm is missing."""
    if band_6cm is None or float(band_6cm["flux"]) <= 0:
        return DEFAULT_INDEX
    return math.log(float(band_6cm["flux"]) / flux_20cm_jy) / math.log(FREQ_6CM_GHZ / FREQ_20CM_GHZ)


def _badness(code: str) -> int:
    return QUALITY_CODES.index(code) if code in QUALITY_CODES else len(QUALITY_CODES)


def main() -> None:
    """Read the list named on the command line and write the catalogue."""
    if len(sys.argv) != 2:
        sys.exit("usage: build_calibrators.py VLA_CALIBRATOR_LIST")
    rows = sorted(entries(Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace")), key=itemgetter("name"))
    with TARGET.open("w", encoding="utf-8", newline="") as out:
        out.write("# L-band calibrators: ICRS positions (degrees), flux at 1.45 GHz, spectral index 20-6 cm, quality\n")
        out.write(
            "# code at 20 cm (P best, S, W, X unusable), 1 for variable. Source: the VLA calibrator manual's list.\n"
        )
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{TARGET}: {len(rows)} calibrators")


if __name__ == "__main__":
    main()
