"""The network, its losses, its augmentation and its training."""
