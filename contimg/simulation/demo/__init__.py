"""The demo: a synthetic telescope streams into the real service, and the images are measured against the truth."""
