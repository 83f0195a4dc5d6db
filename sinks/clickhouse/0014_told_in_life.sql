-- What a bank was told in each life of a case: a case that comes back keeps its id. A revision is of the newest life that had
-- begun by then, up to the record that closed it. The place in the log decides, and `as_of` only between closes of one tick:
-- an action is as of the newest day's close, also where alerts of the day after stand before it.
CREATE VIEW IF NOT EXISTS {database}.told_in_life AS
SELECT bank_id, case_id, life_opened_at, signal, case_names, as_of
FROM
(
    SELECT
        told.bank_id AS bank_id,
        told.case_id AS case_id,
        told.alert_id AS alert_id,
        told.revision AS revision,
        told.signal AS signal,
        told.case_names AS case_names,
        told.as_of AS as_of,
        told.place AS place,
        life.opened AS life_opened_at,
        life.is_closed AS is_closed,
        life.first AS first,
        life.last AS last
    FROM
    (
        SELECT *, (log_offset, as_of) AS place FROM {database}.alert_told FINAL WHERE case_id != '' AND log_offset >= 0
    ) AS told
    INNER JOIN
    (
        SELECT
            bank_id,
            case_id,
            opened_at AS opened,
            min((log_offset, as_of)) AS first,
            max((log_offset, as_of)) AS last,
            argMax(state, (log_offset, seq)) IN ('disposed', 'false_alarm', 'resolved', 'undelivered') AS is_closed
        FROM {database}.case_record FINAL
        GROUP BY bank_id, case_id, opened_at
    ) AS life ON told.bank_id = life.bank_id AND told.case_id = life.case_id
    WHERE told.place >= life.first
    ORDER BY first DESC
    LIMIT 1 BY bank_id, alert_id, revision
)
WHERE NOT is_closed OR place <= last;

-- What became of the lives of cases that each signal was part of, by what desks said of them.
DROP VIEW IF EXISTS {database}.signal_disposition;
CREATE VIEW IF NOT EXISTS {database}.signal_disposition AS
SELECT
    signal,
    count() AS disposed,
    countIf(disposition_now = 'confirmed') AS confirmed,
    countIf(disposition_now = 'false_alarm') AS false_alarms,
    countIf(disposition_now NOT IN ('confirmed', 'false_alarm')) AS others
FROM
(
    SELECT DISTINCT bank_id, case_id, life_opened_at AS opened_at, signal FROM {database}.told_in_life
) AS told
INNER JOIN
(
    SELECT bank_id, case_id, opened_at, disposition_now FROM {database}.case_life
    WHERE state_now IN ('disposed', 'false_alarm')
) AS life USING (bank_id, case_id, opened_at)
GROUP BY signal;
