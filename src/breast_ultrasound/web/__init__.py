"""The local page of `breast-ultrasound serve`."""
