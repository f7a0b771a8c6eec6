"""The Triton kernels. ``triton`` is imported with these modules, which happens when the first kernel runs."""
