"""A request on its way to a worker: jobs, pinned names, estimates of time, bundles that travel."""
