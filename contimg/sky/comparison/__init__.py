"""Images against the reference catalogue: positions, fluxes, completeness."""
