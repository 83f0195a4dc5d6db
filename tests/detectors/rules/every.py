"""The packaged rules with all signals enabled that can be evaluated: a bank may enable one that ships disabled."""

from functools import cache

import msgspec

from detectors.rules.artefact import RulesArtefact, RuleSet, compiled, packaged
from detectors.snapshot import content_id


@cache
def every_artefact() -> RulesArtefact:
    """Return the artefact."""
    rules = packaged()
    return msgspec.structs.replace(
        rules, signals=tuple(msgspec.structs.replace(row, enabled=True) for row in rules.signals)
    )


@cache
def every_rule() -> RuleSet:
    """Return the same compiled."""
    artefact = every_artefact()
    return compiled(artefact, content_id(artefact.encode()), row_word="signals.csv line", first=2)
