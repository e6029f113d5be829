"""Latent Anatomy: methods that separate anatomy from appearance, reproduced, compared and extended."""

__version__ = "0.1.0"
