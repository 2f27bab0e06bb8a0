"""Find, check, group and split the images."""
