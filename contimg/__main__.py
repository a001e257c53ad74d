"""`python -m contimg`: the `contimg` command, run by this very Python."""

from contimg.cli import main

main()
