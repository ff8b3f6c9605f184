"""Search under equal budgets: spaces, studies, rungs, ledger, the one Ray Tune run."""

import os

# Before anything imports Ray, which reads them then.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # with verbose=0 the only pair that prints nothing
os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60")  # 2 s, the default, loses slots to slow endings
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # one trial that Ray kills for memory would end all
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")  # the truth is in the run folder, not in Tune's snapshots
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")  # default 2: one report in 2 s at most
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
