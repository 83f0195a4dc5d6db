"""Enterprises and their transactions for benchmarks, made from a seed fast enough to fill a log."""
