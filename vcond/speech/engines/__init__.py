"""The engines that come with vcond. Each is imported in a worker process only."""
