"""The network is the paper's: its shapes, its size and its first weights."""

import math

import pytest
import torch
from torch import nn

from vae.model import VAE


@pytest.mark.parametrize(("image_size", "latent"), [(32, 10), (64, 10), (32, 3)])
def test_encoder_and_decoder_mirror_each_other(image_size, latent):
    images = torch.rand(5, 1, image_size, image_size)
    model = VAE(image_size, latent)
    mean, logvar = model.encode(images)
    assert mean.shape == logvar.shape == (5, latent)
    decoded = model.decode(mean)
    assert decoded.shape == images.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1

    shapes = [tuple(layer.weight.shape) for layer in model.encoder if hasattr(layer, "weight")]
    mirrored = [tuple(layer.weight.shape) for layer in model.decoder if hasattr(layer, "weight")][::-1]
    # A transposed convolution has the weight shape of its mirror image; that of a linear layer is transposed.
    assert [shape if len(shape) == 4 else shape[::-1] for shape in mirrored[:-1]] == shapes[:-1]
    assert shapes[-1] == (2 * latent, 256)
    assert mirrored[-1] == (256, latent)


def test_the_convolutions_are_3_for_32_pixels_and_4_for_64():
    for image_size, count in ((32, 3), (64, 4)):
        layers = [layer for layer in VAE(image_size).modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        assert len(layers) == 2 * count
        assert all((*layer.kernel_size, *layer.stride, *layer.padding) == (4, 4, 2, 2, 1, 1) for layer in layers)


def test_the_number_of_parameters_is_that_of_the_paper_s_layers():
    convolutions = 2 * (32 * 32 * 16 + 32)
    encoder = 32 * 16 + 32 + convolutions + 512 * 256 + 256 + 256 * 256 + 256 + 256 * 20 + 20
    decoder = 10 * 256 + 256 + 256 * 256 + 256 + 256 * 512 + 512 + convolutions + 32 * 16 + 1
    assert sum(parameter.numel() for parameter in VAE().parameters()) == encoder + decoder == 469_173


def test_the_initial_weights_are_kaiming_uniform_and_depend_only_on_the_generator():
    models = [VAE(), VAE(), VAE()]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        model.initialise(torch.Generator().manual_seed(seed))
    first, again, other = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], again[name]) for name in first)
    weights = {name: weight for name, weight in first.items() if name.endswith("weight")}
    for name, weight in weights.items():
        assert not torch.equal(weight, other[name])
        bound = math.sqrt(6 / weight[0].numel())  # He et al. 2015, eq. 10 for a uniform law; the fan is torch's own
        # The largest of k uniform draws falls short of the bound by 1/k of it on average; k >= 512 here.
        assert 0.98 * bound < weight.abs().max() <= bound
    assert all((first[name] == 0).all() for name in first if name.endswith("bias"))


@torch.no_grad()
def test_the_sample_is_the_mean_plus_noise_times_the_standard_deviation():
    generator = torch.Generator().manual_seed(3)
    model = VAE()
    model.initialise(generator)
    images, noise = torch.rand(3, 1, 32, 32, generator=generator), torch.randn(3, 10, generator=generator)
    for scale in (1, 0):  # noise of 0 means z = mean, which is how models are evaluated
        logits, z, mean, logvar = model(images, scale * noise)
        # Other operations for the same number: float32 rounding of values of a few units.
        torch.testing.assert_close(z, mean + scale * noise * logvar.exp().sqrt(), rtol=0, atol=1e-5)
        # A convolution may add in another order; grey levels are below 1.
        torch.testing.assert_close(logits.sigmoid(), model.decode(z), rtol=0, atol=1e-5)
