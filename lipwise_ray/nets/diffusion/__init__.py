"""Networks of latent diffusion that lip models share: a U-Net, its temporal layers, and an image autoencoder."""
