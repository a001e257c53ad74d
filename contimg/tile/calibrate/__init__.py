"""The calibrate stage: flag, solve on a catalogued calibrator in the beam, apply the valid caltable set."""
