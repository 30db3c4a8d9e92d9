"""Show how far a consumer group has come, without being a member of it.

The lag counts the offsets that the group has not passed yet. If it stays although the
workers only wait, look for a transaction: while one is open, they must not read on, and
the mark at its end takes an offset, too.

The KAFKA_* variables of the scripts say where the broker is, and how to log in.
"""

import argparse
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1]))

from kafka import KafkaConsumer, TopicPartition

from streaming_worker import CLUSTER, SERVERS, set_up_logging

HEADER = ("partition", "committed", "end", "lag")
ANSWER_MS = 8_000  # how long to wait for what the group has committed


def rows(topic, group):
    """Return (number, committed offset, end, lag) for each partition of the topic."""
    consumer = KafkaConsumer(
        **CLUSTER,
        group_id=group,
        # The limit of the other answers, by default five minutes. It must be more than
        # the session timeout, ten seconds.
        request_timeout_ms=11_000,
    )
    # The first question. If we cannot log in, only its limit ends the attempts.
    consumer.committed(TopicPartition(topic, 0), timeout_ms=ANSWER_MS)
    # kafka-python asks for all topics here, so a mistyped one is not created.
    numbers = sorted(consumer.partitions_for_topic(topic))
    if not numbers:
        raise LookupError("there is no such topic")
    partitions = [TopicPartition(topic, number) for number in numbers]
    committed = [consumer.committed(p, timeout_ms=ANSWER_MS) for p in partitions]
    starts = consumer.beginning_offsets(partitions)
    # The ends come last, so that no worker can have committed more meanwhile.
    ends = consumer.end_offsets(partitions)
    consumer.close(timeout_ms=2_000)
    found = []
    for partition, offset in zip(partitions, committed):
        start, end = starts[partition], ends[partition]
        is_valid = offset in range(start, end + 1)
        # Without a valid offset, the group begins with the first message there is.
        lag = end - (offset if is_valid else start)
        shown_offset = "-" if offset is None else offset
        found.append((partition.partition, shown_offset, end, lag))
    return found


def main():
    """Print the table. Exit status: 0 printed, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--topic", default="user_signups", help="what the group reads")
    parser.add_argument("--group", default="group1", help="the workers' group")
    args = parser.parse_args()
    set_up_logging()
    try:
        found = rows(args.topic, args.group)
    except Exception as error:  # A wrong variable may raise anything.
        problem = f"cannot read the lag of {args.topic} at {SERVERS}"
        sys.exit(f"error: {problem}: {error!r}")
    for row in [HEADER, *found]:
        print("{:<10} {:<10} {:<7} {}".format(*row))


if __name__ == "__main__":
    main()
