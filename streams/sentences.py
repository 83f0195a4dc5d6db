"""Sentences of alerts for readers outside score, pages and commands, in either language.

An alert is worded under the rules that raised it. Rules that are not packaged with this engine are fetched once from
`artefact.v1`; while they cannot be fetched, sentences name no thresholds, and the log says so.
"""

import logging
import time
from collections.abc import Mapping
from typing import NamedTuple

from config.settings import KafkaSettings
from detectors.rules.artefact import RulesArtefact, packaged
from detectors.rules.conditions import RuleError, Signal, parse_row
from detectors.snapshot import content_id, read
from detectors.wording.alerts import Sentence, sentence
from detectors.wording.case import DESK, Desk, desk_of
from detectors.wording.revision import Revision
from domain import topics
from domain.language import Lang
from sinks.artefacts import ArtefactCorrupt, ArtefactMissing, fetch
from sinks.client import client_settings

log = logging.getLogger(__name__)

FETCH_S_MAX = 5.0
RETRY_S = 300.0  # rules that could not be had are asked for again after so long


class _Rules(NamedTuple):
    """Facts that sentences rest on: the signals by id, and what cases are said to be."""

    signals: Mapping[str, Signal]
    desk: Desk


_MISSING = _Rules({}, DESK)


class Sentences:
    """Words alerts, and caches the rules that they rest on. Any thread may call it."""

    def __init__(self, kafka: KafkaSettings) -> None:
        rules = packaged()
        self._kafka = kafka
        self._rules: dict[str, _Rules] = {content_id(rules.encode()): _parsed(rules)}
        self._missing_since_s: dict[str, float] = {}

    def of(self, alert: Revision, lang: Lang) -> Sentence:
        """Return the sentence of one revision."""
        rules = self._rules_of(alert.rules_id)
        return sentence(alert, rules.signals.get(alert.signal), lang, desk=rules.desk)

    def _rules_of(self, rules_id: str) -> _Rules:
        """Return the rules with this id, without any signal where they cannot be fetched now."""
        if (known := self._rules.get(rules_id)) is not None:
            return known
        if time.monotonic() - self._missing_since_s.get(rules_id, -RETRY_S) < RETRY_S:
            return _MISSING
        try:
            body = fetch(self._kafka.bootstrap, topics.ARTEFACT, rules_id, FETCH_S_MAX, client_settings(self._kafka))
            found = _parsed(read(body, rules_id, RulesArtefact, "rules", RuleError))
        except (ArtefactMissing, ArtefactCorrupt, RuleError) as error:
            self._missing_since_s[rules_id] = time.monotonic()
            log.warning("alerts of rules %s are said without their lines: %s", rules_id, error)
            return _MISSING
        self._rules[rules_id] = found
        return found


def _parsed(rules: RulesArtefact) -> _Rules:
    return _Rules({row.id: parse_row(row, "signal") for row in rules.signals}, desk_of(rules.case))
