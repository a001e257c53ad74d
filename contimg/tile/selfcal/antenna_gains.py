"""Antenna gains from baselines by alternating least squares (StefCal; Salvini & Wijnholds 2014, A&A 571, A97)."""

import numpy as np
from numpy.typing import NDArray

MAX_ITERATIONS = 200
CONVERGED = 1e-8
Gains = NDArray[np.complex128]


def solve_gains(products: Gains, power: NDArray[np.float64], phase_only: bool) -> Gains:
    """Solve the gains g of V12 = g1 conj(g2) M12 by least squares.

    Parameters
    ----------
    products, power : sums of V M* and of |M|^2 over each baseline's samples, shape (slots, slots, receptors); in either
        triangle. The diagonal is ignored.
    phase_only : gains of amplitude 1; otherwise amplitudes of mean 1, so that fluxes stay.

    Returns
    -------
    Gains, shape (slots, receptors); 1 for slots without data. Phases are referred to the antenna with most data.
    """
    gains = np.ones((products.shape[0], products.shape[2]), dtype=np.complex128)
    for receptor in range(products.shape[2]):
        hermitian = products[:, :, receptor] + products[:, :, receptor].conj().T  # V21 = conj(V12)
        weight = power[:, :, receptor] + power[:, :, receptor].T
        np.fill_diagonal(hermitian, 0)
        np.fill_diagonal(weight, 0)
        gains[:, receptor] = _solve(hermitian, weight, phase_only)
    return gains


def _solve(products: Gains, weight: NDArray[np.float64], phase_only: bool) -> Gains:
    is_alive = weight.sum(axis=1) > 0
    gains = np.ones(len(products), dtype=np.complex128)
    for step in range(MAX_ITERATIONS):
        new = (products @ gains) / np.maximum(weight @ np.abs(gains) ** 2, 1e-30)
        new = np.where(is_alive & (np.abs(new) > 0), new, 1.0)
        new = new / np.abs(new) if phase_only else new
        if step % 2:  # the mean of two steps: single ones oscillate about the solution
            new = 0.5 * (new + gains)
        change = float(np.abs(new - gains).max())
        gains = new
        if step % 2 and change < CONVERGED:
            break
    if phase_only:
        gains /= np.abs(gains)
    else:
        gains[is_alive] /= np.abs(gains[is_alive]).mean()
    gains[is_alive] *= np.exp(-1j * np.angle(gains[int(np.argmax(weight.sum(axis=1)))]))
    return gains
