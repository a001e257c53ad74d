"""Facts of the DSA-110: site, stations, band plan, primary beam, calibrators, coordinates."""
