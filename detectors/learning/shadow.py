"""The models in shadow, month after month: each is asked, all are measured, and then they learn."""

from collections.abc import Iterable, Mapping

import numpy.typing as npt

from detectors.learning.challengers import CHALLENGERS, Challengers
from detectors.learning.drift import drift_of
from detectors.learning.examples import Examples
from detectors.learning.prequential import CHAMPION, Prequential
from detectors.learning.reports import month_report
from detectors.learning.rescoring import rescored
from detectors.snapshot import Snapshot
from domain.outputs import MonthReport


class Shadow:
    """Challengers, and the prequential record of all models."""

    def __init__(
        self, *, psi_max: float, record: Prequential | None = None, challengers: Iterable[str] = tuple(CHALLENGERS)
    ) -> None:
        """Begin with a record; the challengers of one that is not empty have to be rebuilt."""
        self.record = Prequential() if record is None else record
        self.challengers = Challengers(challengers)
        self._psi_max = psi_max

    def month(
        self,
        month: int,
        matured: Examples,
        said: Mapping[str, npt.ArrayLike],
        *,
        observed: Examples,
        champion: Snapshot,
        model_id: str,
        labels: Mapping[str, int],
    ) -> MonthReport:
        """Ask the challengers about `matured`, EXAMPLE (n,), return what the month says of all models, and learn it.

        said: by name, what champion and prior say of `matured`. observed: the newest month's observations, EXAMPLE,
        outcomes or not. champion, model_id: the model that was tested. labels: the month's, by kind.
        """
        predictions = self.challengers.month(matured)
        self.record.month(month, matured, {**said, **predictions})
        # Its reference is of the champion's own scores; what was observed has those of the model that was in force.
        drift = drift_of(rescored(champion, observed), champion.reference, self.record.losses(CHAMPION), len(matured))
        report = month_report(
            self.record,
            month=month,
            model_id=model_id,
            weights_milli=champion.weights_milli,
            labels=labels,
            drift=drift,
            psi_max=self._psi_max,
        )
        self.challengers.learn(matured)
        return report

    def rebuild(self, retained: Examples, first_month: int) -> None:
        """Have the challengers learn what is retained, EXAMPLE (n,): after a start, and when the oldest were dropped.

        first_month: the first one that is retained; the record forgets those before it.
        """
        self.record.cut(first_month)
        self.challengers.rebuild(retained)
