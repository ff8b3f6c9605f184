"""What each task alone knows: one file per task."""
