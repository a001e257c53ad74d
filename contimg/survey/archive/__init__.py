"""The archive: checksums of products, their copies in other places, and the way back."""
