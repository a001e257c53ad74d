"""Commands on tiles: groups, images, calibrations, single stages."""
