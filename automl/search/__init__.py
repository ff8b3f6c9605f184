"""Search under equal budgets: spaces, studies, rungs, ledger, the one Ray Tune run."""
