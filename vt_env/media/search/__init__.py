"""Clips found by their pictures. Learned encoders import torch lazily and only here."""
