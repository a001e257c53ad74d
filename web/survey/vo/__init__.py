"""Services of the Virtual Observatory: cone search of sources, image search (SIA 2.0), light curves, VOSI resources."""
