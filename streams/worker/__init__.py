"""The worker that runs a role: Faust app, rebalances, commits, health."""
