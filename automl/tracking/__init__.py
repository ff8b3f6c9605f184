"""Trackers that follow a run: one file each."""
