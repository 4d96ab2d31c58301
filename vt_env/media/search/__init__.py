"""Clip search by image embeddings. Learned encoders import torch lazily, and only here."""
