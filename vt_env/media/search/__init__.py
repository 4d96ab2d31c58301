"""Clip search by image embeddings. Learned encoders import torch lazily, in this package alone."""
