"""The Perley & Butler (2017, ApJS 230, 7) flux density scale for compact sources, last epoch (2017.0).

log10 S[Jy] = sum_i a_i (log10 nu[GHz])^i. 3C48, 3C138 and 3C147 vary by 2-3 % over years.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "3C48": (1.3253, -0.7553, -0.1914, 0.0498),
    "3C138": (1.0088, -0.4981, -0.1552, -0.0102, 0.0223),
    "3C147": (1.4516, -0.6961, -0.2007, 0.0640, -0.0464, 0.0289),
    "3C196": (1.2872, -0.8530, -0.1534, -0.0200, 0.0201),
    "3C286": (1.2481, -0.4507, -0.1798, 0.0357),
    "3C295": (1.4701, -0.7658, -0.2780, -0.0347, 0.0399),
}
NAME = "Perley & Butler 2017"


def flux_jy(source: str, freqs_hz: ArrayLike) -> NDArray[np.float64]:
    """Return the flux density of a source of the scale.

    Parameters
    ----------
    source : its name, a key of `COEFFICIENTS`.
    freqs_hz : frequencies, any shape.

    Returns
    -------
    Jy, the shape of `freqs_hz`.

    Raises
    ------
    KeyError : the source is not on the scale.
    """
    log_ghz = np.log10(np.asarray(freqs_hz, dtype=np.float64) / 1e9)
    return np.asarray(10.0 ** np.polynomial.polynomial.polyval(log_ghz, COEFFICIENTS[source]))
