"""A reproducible workflow for classifying breast ultrasound images (BreastMNIST)."""
