"""The embedded data set, made by ``python -m vae.fashion_mini``: 5,000 + 1,000 images of Fashion-MNIST."""
