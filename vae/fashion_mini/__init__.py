"""The embedded data set: the first 5,000 + 1,000 images of Fashion-MNIST; ``python -m vae.fashion_mini`` made it."""
