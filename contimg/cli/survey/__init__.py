"""Commands of nights, campaigns, the archive and the published survey."""
