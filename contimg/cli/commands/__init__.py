"""The `contimg` command, one file per subcommand."""
