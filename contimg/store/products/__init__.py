"""Products of tiles: written with the end of a stage, listed, filtered, bundled, kept and removed."""
