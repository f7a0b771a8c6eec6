"""One page, of one file, on the divergences and on runs."""
