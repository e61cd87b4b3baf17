"""Anomaly scores of images, how well they separate, and their histogram."""
