"""Make contimg/data/calibrators.csv from the VLA calibrator manual's list, given as the first argument.

Keeps sources with an L-band (20 cm) flux of at least 0.5 Jy north of declination -40 deg. The spectral index comes
from the 20 cm and 6 cm fluxes; the quality is the worse of the list's codes for configurations C and D at 20 cm,
whose beams bracket the DSA-110's (P: closure errors under 3 %, S: 3-10 %, W: more, X: do not use).
"""

import csv
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TARGET = Path(__file__).parent.parent / "contimg" / "data" / "calibrators.csv"
COLUMNS = ("name", "alias", "ra_deg", "dec_deg", "flux_20cm_jy", "spectral_index", "quality")
MIN_FLUX_JY = 0.5
MIN_DEC_DEG = -40.0
USUAL_INDEX = -0.7
WORST_LAST = "PSWX"
FREQ_20CM_GHZ, FREQ_6CM_GHZ = 1.45, 4.86

_HEAD = re.compile(
    r"^(?P<name>\d{4}[+-]\d{3,4})\s+J2000\s+\S\s+"
    r"(?P<h>\d+)h(?P<m>\d+)m(?P<s>[\d.]+)s\s+(?P<sign>[+-]?)(?P<d>\d+)d(?P<am>\d+)'(?P<as>[\d.]+)\"(?P<rest>.*)$"
)
_BAND = re.compile(r"^\s*(?P<band>20cm|6cm)\s+[LC]\s+\S\s+\S\s+(?P<c>\S)\s+(?P<d>\S)\s+(?P<flux>[\d.]+)")
_ALIAS = re.compile(r"\b3C\d+(\.\d)?\b")


def entries(text: str) -> Iterator[dict[str, str]]:
    """One csv row per source of the list that is bright enough at 20 cm."""
    for block in re.split(r"\n(?=\d{4}[+-]\d{3,4}\s+J2000)", text):
        head = _HEAD.match(block.splitlines()[0]) if block.strip() else None
        bands = {found["band"]: found for found in map(_BAND.match, block.splitlines()) if found}
        if head is None or "20cm" not in bands:
            continue
        flux = float(bands["20cm"]["flux"])
        dec = float(head["d"]) + float(head["am"]) / 60 + float(head["as"]) / 3600
        dec = -dec if head["sign"] == "-" else dec
        if flux < MIN_FLUX_JY or dec < MIN_DEC_DEG:
            continue
        alias = _ALIAS.search(head["rest"])
        yield {
            "name": head["name"],
            "alias": alias.group() if alias else "",
            "ra_deg": f"{15 * (float(head['h']) + float(head['m']) / 60 + float(head['s']) / 3600):.8f}",
            "dec_deg": f"{dec:.8f}",
            "flux_20cm_jy": f"{flux:g}",
            "spectral_index": f"{spectral_index(flux, bands.get('6cm')):.2f}",
            "quality": max(bands["20cm"]["c"], bands["20cm"]["d"], key=_badness),
        }


def spectral_index(flux_20cm_jy: float, six: re.Match[str] | None) -> float:
    """Index alpha of S ~ nu^alpha between 20 and 6 cm; the usual one of radio sources where 6 cm is missing."""
    if six is None or float(six["flux"]) <= 0:
        return USUAL_INDEX
    return math.log(float(six["flux"]) / flux_20cm_jy) / math.log(FREQ_6CM_GHZ / FREQ_20CM_GHZ)


def _badness(code: str) -> int:
    return WORST_LAST.index(code) if code in WORST_LAST else len(WORST_LAST)


def main() -> None:
    """Read the list named on the command line, write the catalogue."""
    if len(sys.argv) != 2:
        sys.exit("usage: build_calibrators.py VLA_CALIBRATOR_LIST")
    rows = sorted(entries(Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace")), key=lambda r: r["name"])
    part = TARGET.with_suffix(".csv.part")
    with part.open("w", encoding="utf-8", newline="") as out:
        out.write("# L-band calibrators: ICRS positions (degrees), flux at 1.45 GHz, spectral index 20-6 cm, quality\n")
        out.write("# code at 20 cm (P best, S, W, X unusable). Source: the VLA calibrator manual's list.\n")
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(TARGET)
    print(f"{TARGET}: {len(rows)} calibrators")


if __name__ == "__main__":
    main()
