"""Reading, profiling, cleaning and splitting data."""
