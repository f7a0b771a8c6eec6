# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A VAE with JSG
#
# Two small autoencoders learn the same 5,000 images of clothes, one with the usual KL and one with JSG\*. The images
# come with the package. This notebook needs `pip install '.[notebooks]'`; without `ipywidgets` it shows pictures in
# place of sliders.

# %%
import matplotlib.pyplot as plt
import torch
from torch.nn import Linear, Module, ReLU, Sequential, Sigmoid

from jsgmath.torch import JSGLoss
from vae.data import load

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True})
LATENT = 8
images = load("fashion-mini")
train, test = (x.flatten(1) / 255 for x in (images.train_images, images.test_images))
print(f"{len(train)} images to train with, {len(test)} to test, {train.shape[1]} pixels each")

# %% [markdown]
# ## The model and its loss
#
# The loss is the squared error of an image plus the divergence between its posterior and the prior. The two models
# differ in one line: `JSGLoss(alpha=0.0)` is KL(q‖p), the usual term.


# %%
class VAE(Module):
    def __init__(self):
        super().__init__()
        self.encoder = Sequential(Linear(train.shape[1], 128), ReLU(), Linear(128, 2 * LATENT))
        self.decoder = Sequential(Linear(LATENT, 128), ReLU(), Linear(128, train.shape[1]), Sigmoid())

    def posterior(self, x):
        return self.encoder(x).chunk(2, -1)  # mean and log-variance


def fit(divergence, epochs=3):
    torch.manual_seed(0)
    model = VAE()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for x in train[torch.randperm(len(train))].split(64):
            mean, logvar = model.posterior(x)
            z = mean + torch.exp(logvar / 2) * torch.randn_like(mean)
            error = (x - model.decoder(z)).square().sum(-1).mean()
            optimiser.zero_grad()
            (error + divergence(mean, logvar)).backward()
            optimiser.step()
    return model


losses = {"KL": JSGLoss(alpha=0.0), "JSG*, α = 0.4": JSGLoss(alpha=0.4, dual=True)}
models = {name: fit(loss) for name, loss in losses.items()}

# %% [markdown]
# ## What they learnt
#
# JSG\* pulls the posteriors less towards the prior, so the reconstructions are nearer to the images. The table has
# KL(q‖p) for both models, because values of two different divergences cannot be compared.

# %%
print("trained with     error   KL(q||p)")
for name, model in models.items():
    with torch.no_grad():
        mean, logvar = model.posterior(test)
        error = (test - model.decoder(mean)).square().sum(-1).mean()
        print(f"{name:14} {error:7.1f} {losses['KL'](mean, logvar):10.1f}")


# %% alt="Eight test images, and below them their reconstructions by the two models"
def draw(axis, pixels):
    axis.imshow(pixels.view(32, 32), cmap="gray_r", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


_, axes = plt.subplots(3, 8, figsize=(8, 3.2))
shown = test[:64:8]
rows = {"image": shown}
with torch.no_grad():
    rows |= {name: model.decoder(model.posterior(shown)[0]) for name, model in models.items()}
for line, (name, pictures) in zip(axes, rows.items(), strict=True):
    line[0].set_ylabel(name)
    for axis, picture in zip(line, pictures, strict=True):
        draw(axis, picture)
plt.show()

# %% [markdown]
# ## How much each latent dimension carries
#
# The divergence is a sum over dimensions. A dimension with a small term is hardly used.

# %% alt="KL(q||p) of each latent dimension for both models"
_, axes = plt.subplots(figsize=(5.5, 2.6))
for name, model in models.items():
    with torch.no_grad():
        mean, logvar = model.posterior(test)
    terms = JSGLoss(alpha=0.0, reduction="none")(mean.T[..., None], logvar.T[..., None]).mean(1)
    axes.plot(range(1, LATENT + 1), terms.sort(descending=True).values, "o-", label=name)
axes.set(xlabel="latent dimension, sorted", ylabel="nats per image", ylim=(0, None))
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Walk through the latent space
#
# Start at a test image and move one latent dimension.


# %% alt="An image changes as one of its latent dimensions moves from -3 to 3"
def walk(image=0, dimension=1):
    model, places = models["JSG*, α = 0.4"], [-3, -2, -1, 0, 1, 2, 3]
    _, line = plt.subplots(1, len(places), figsize=(8, 1.5))
    with torch.no_grad():
        z = model.posterior(test[image : image + 1])[0].repeat(len(places), 1)
        z[:, dimension - 1] = torch.tensor(places)
        pictures = model.decoder(z)
    for axis, picture, place in zip(line, pictures, places, strict=True):
        draw(axis, picture)
        axis.set_xlabel(place)
    plt.show()


try:
    from ipywidgets import interact
except ImportError:
    walk()
else:
    interact(walk, image=(0, 999), dimension=(1, LATENT))
