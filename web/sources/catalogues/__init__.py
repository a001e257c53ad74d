"""Reference catalogues."""
