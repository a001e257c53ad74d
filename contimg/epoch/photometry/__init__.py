"""The measure stage: fluxes at fixed positions of a mosaic, or of any FITS image."""
