"""Reference catalogues of the sky, and the comparison of images with them."""
