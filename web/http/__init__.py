"""HTTP: serving, errors, headers, files and the API document."""
