"""The computations of the Triton kernels by the compiled core, for tensors on a CPU."""
