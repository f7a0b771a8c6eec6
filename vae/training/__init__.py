"""The training of one run: its settings, steps, folder, environment, pictures and processes."""
