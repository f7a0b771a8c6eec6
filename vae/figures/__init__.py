"""The paper's figures and tables, each made by one command: ``python -m vae.figures --help``."""
