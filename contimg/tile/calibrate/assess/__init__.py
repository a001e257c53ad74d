"""Quality of a caltable set."""
