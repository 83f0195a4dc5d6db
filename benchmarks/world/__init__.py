"""Enterprises and their transactions, made from a seed fast enough to fill a log: what the benchmarks run on."""
