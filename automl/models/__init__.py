"""What each model family alone knows: one file per family."""
