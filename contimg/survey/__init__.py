"""What an observatory does around the stream: nights, campaigns, the archive, the published survey."""
