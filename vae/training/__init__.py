"""A run under way: its settings, steps, folder, environment, pictures and processes."""
