"""Outputs as written before a field came: readers of today take them, and the published schemas allow them."""

import json
from typing import Any

import msgspec
import pytest

from domain.outputs import Alert, Score
from tests.schemas import validator

ALERT = b"""{"alert_id":"a","episode_id":"a","case_id":"c","case_severity":"yellow","revision":1,"enterprise_id":"E1",
"signal":"EWS01_inflow_collapse","severity":"yellow","state":"raised","reason":"","stock":false,"opened_at":1,"as_of":2,
"score":487,"score_before":512,"evidence":[{"name":"op_inflow_30d_cny","value_micro":7,"band":null}],"event_ids":[],
"loans":[{"loan_id":"L","outstanding_minor":5,"dpd":null}],"banks":["C1010211000012"],"title_zh":"","text_zh":"",
"suggested_action_zh":"","model_id":"m","rules_id":"r","offset":3,"seq":4}"""
SCORE = b"""{"enterprise_id":"E1","score":500,"score_milli":500000,"p_overdue30_90d_ppm":1,"pd_12m_ppm":null,
"status":"published","status_reason":"","grade":"C","published_grade":"C","groups_milli":{},"cap_milli":0,
"coverage_ppm":1,"prior":true,"reason_codes":[],"model_id":"m","rules_id":"r","engine_version":"e","as_of":2,"offset":3,
"seq":4,"provisional_calendar":true}"""


@pytest.mark.parametrize(
    ("kind", "schema", "written"), [(Alert, "alert.bank_id.v1", ALERT), (Score, "score.v1", SCORE)]
)
def test_a_record_of_before_is_read_and_is_of_the_published_schema(kind: Any, schema: str, written: bytes) -> None:
    read = msgspec.json.decode(written, type=kind)
    assert (read.offset, read.seq) == (3, 4)
    assert json.loads(msgspec.json.encode(read)) == json.loads(written), "what was not told is not made up"
    validator(f"{schema}.json").validate(json.loads(written))
