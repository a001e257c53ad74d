"""The sixteen keys of the stream's configuration, as an operator edits them."""
