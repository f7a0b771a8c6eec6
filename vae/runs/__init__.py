"""Runs read back from their folders: metrics, comparisons, statistics and the numbers of the paper."""
