"""Antenna gains from baselines by alternating least squares (StefCal; Salvini & Wijnholds 2014, A&A 571, A97)."""

import numpy as np
from numpy.typing import NDArray

ROUNDS = 200
CONVERGED = 1e-8


def solve_gains(sums: NDArray[np.complex128], power: NDArray[np.float64], phase_only: bool) -> NDArray[np.complex128]:
    """Gains g of V12 = g1 conj(g2) M12 that fit best.

    Parameters
    ----------
    sums, power : sums of V M* and of |M|^2 over each baseline's samples, shape (slots, slots, receptors); either
        triangle may hold them, the diagonal is left out.
    phase_only : gains of amplitude 1; otherwise amplitudes of mean 1, so that fluxes stay.

    Returns
    -------
    shape (slots, receptors); 1 for slots without data. Phases are referred to the antenna with most data.
    """
    gains = np.ones((sums.shape[0], sums.shape[2]), dtype=np.complex128)
    for receptor in range(sums.shape[2]):
        one, weight = _whole(sums[:, :, receptor], power[:, :, receptor])
        gains[:, receptor] = _solve(one, weight, phase_only)
    return gains


def _whole(
    sums: NDArray[np.complex128], power: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Both triangles, V21 = conj(V12), without autocorrelations."""
    one, weight = sums + sums.conj().T, power + power.T
    np.fill_diagonal(one, 0)
    np.fill_diagonal(weight, 0)
    return one, weight


def _solve(one: NDArray[np.complex128], weight: NDArray[np.float64], phase_only: bool) -> NDArray[np.complex128]:
    alive = weight.sum(axis=1) > 0
    gains = np.ones(len(one), dtype=np.complex128)
    for step in range(ROUNDS):
        new = (one @ gains) / np.maximum(weight @ np.abs(gains) ** 2, 1e-30)
        new = np.where(alive & (np.abs(new) > 0), new, 1.0)
        new = new / np.abs(new) if phase_only else new
        if step % 2:  # the mean of two steps: single ones swing about the solution
            new = 0.5 * (new + gains)
        moved = float(np.abs(new - gains).max())
        gains = new
        if step % 2 and moved < CONVERGED:
            break
    if phase_only:
        gains /= np.abs(gains)
    else:
        gains[alive] /= np.abs(gains[alive]).mean()
    gains[alive] *= np.exp(-1j * np.angle(gains[int(np.argmax(weight.sum(axis=1)))]))
    return gains
