"""The computation of the Triton kernels in plain torch operations: any device, one operation at a time."""
