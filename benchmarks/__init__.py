"""Measures how fast jsgmath is: `python -m benchmarks` on a CPU, `python -m benchmarks.gpu --out DIR` on a GPU."""
