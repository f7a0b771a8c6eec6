"""Runs, read from their folders, with their comparisons and statistics, and the numbers of the paper."""
