"""Sources in an image and in catalogues."""
