"""Pictures of an image."""
