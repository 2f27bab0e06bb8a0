"""Scores, intervals, calibration and figures."""
