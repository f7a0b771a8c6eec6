"""One HTML page about the divergences and about runs."""
