"""Judgement of warnings by the later outcomes of the borrowers: reading, statistics and report."""
