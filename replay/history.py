"""The backfill around years of history: state advances, and nobody is alerted of what would have been raised."""

from dataclasses import dataclass

from config.settings import Settings
from streams import control_log


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Opens and closes the one backfill of these servers, each once however often it is asked for."""

    settings: Settings
    by: str
    reason: str

    @property
    def is_over(self) -> bool:
        """Whether a backfill has been closed: by an earlier run, that is."""
        return any(control.action == "backfill_close" for control in control_log.read(self.settings).controls)

    def open(self) -> None:
        """Open it, unless it is open or over."""
        said = control_log.read(self.settings)
        if said.backfill is None and not self.is_over:
            control_log.write(
                self.settings, control_log.next_control(said, "backfill_open", by=self.by, reason=self.reason)
            )

    def close(self) -> bool:
        """Close it, where it is open; whether it was."""
        said = control_log.read(self.settings)
        if said.backfill is not None:
            control_log.write(
                self.settings, control_log.next_control(said, "backfill_close", by=self.by, reason=self.reason)
            )
        return said.backfill is not None
