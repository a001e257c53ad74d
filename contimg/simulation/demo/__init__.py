"""The demo: a synthetic telescope writes to the real service, and the images are compared with the simulated sky."""
