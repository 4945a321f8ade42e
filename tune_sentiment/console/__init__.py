"""What the commands print: results on stdout, progress and logs on stderr."""
