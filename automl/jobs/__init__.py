"""Runs on a cluster, through the Jobs API of Ray's head: sent there, followed, stopped, brought back."""
