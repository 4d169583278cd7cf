"""What every room may stand on: errors, time, logs, metrics, tasks, files written whole. Imports nothing of vcond."""
