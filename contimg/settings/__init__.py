"""Settings of the stream and of the deployment."""
