"""The query for an enterprise's consent, for any purpose: what score keeps of 贷后管理 alone, asked of the archive."""

from domain.events import AuthorizationPurpose
from sinks.clickhouse.connection import Connection

_MS = "toUnixTimestamp64Milli"


def consent_at(
    db: Connection, bank_id: str, enterprise_id: str, purpose: AuthorizationPurpose, at_ms: int
) -> str | None:
    """Return the id of the authorization by which a bank may see an enterprise for a purpose at a time; None: none.

    It is valid from `valid_from` until before `valid_to`, and ends with a newer revocation for that bank and purpose.
    Raise Unavailable or Refused where ClickHouse fails.
    """
    query = f"""SELECT authorization_id FROM {db.database}.consent FINAL
        WHERE to_bank_id = {{bank:String}} AND enterprise_id = {{enterprise:String}} AND purpose = {{purpose:String}}
            AND NOT revoked AND {_MS}(valid_from) <= {{at:Int64}} AND {_MS}(valid_to) > {{at:Int64}}
            AND (event_time, log_offset) > (
                SELECT max((event_time, log_offset)) FROM {db.database}.consent FINAL
                WHERE to_bank_id = {{bank:String}} AND enterprise_id = {{enterprise:String}}
                    AND purpose = {{purpose:String}} AND revoked AND {_MS}(event_time) <= {{at:Int64}})
        ORDER BY event_time DESC, log_offset DESC LIMIT 1"""
    asked = {"bank": bank_id, "enterprise": enterprise_id, "purpose": purpose, "at": at_ms}
    found = db.rows(query, asked)
    return str(found[0][0]) if found else None
