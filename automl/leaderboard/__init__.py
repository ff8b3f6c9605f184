"""From the records in the run folder to the board and the report."""
