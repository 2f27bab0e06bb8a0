"""Trainings as content-addressed, cached, parallel runs."""
