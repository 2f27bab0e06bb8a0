"""Trainings as content-addressed, stored, parallel runs."""
