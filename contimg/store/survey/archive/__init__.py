"""Files of products, their copies in places, and what the archive holds."""
