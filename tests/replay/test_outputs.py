"""What an engine said, in an order that does not hang on how a log was replayed."""

from replay.outputs import Outputs


def test_repeats_are_no_outputs_and_the_order_is_that_of_topic_and_key():
    heard = [
        ("score.v1", b"b", b'{"n":1}'), ("score.v1", b"a", b'{"n":2}'), ("dlq.v1", None, b'{"n":9}'),
        ("score.v1", b"b", b'{"n":0}'), ("score.v1", b"b", b'{"n":1}'), ("dlq.v1", None, b'{"n":8}'),
    ]  # fmt: skip
    with Outputs() as one, Outputs() as other:
        for message in heard:
            one.hear(*message)
        for message in (heard[5], heard[2], heard[1], heard[0], heard[3]):
            other.hear(*message)
        assert list(one.lines()) == list(other.lines())
        assert [line for line in one.lines() if b"score" in line] == [
            b'{"topic":"score.v1","key":"a","value":{"n":2}}\n',
            b'{"topic":"score.v1","key":"b","value":{"n":1}}\n',
            b'{"topic":"score.v1","key":"b","value":{"n":0}}\n',
        ]
        assert one.digest() == other.digest()
        assert one.counts() == {"dlq.v1": 2, "score.v1": 3}
