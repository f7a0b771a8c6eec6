"""The computations of the Triton kernels in plain torch operations, on any device."""
