"""A connection that is never closed.

The group still counts on the worker that has ended, and the next one waits.
"""

import signal

from kafka import KafkaConsumer

from streaming_worker import CLUSTER, process_message, read_flags

args = read_flags()
place = {"group_id": args.group, "auto_offset_reset": "earliest"}
consumer = KafkaConsumer(args.topic, enable_auto_commit=False, **place, **CLUSTER)
is_shutting_down = False


def shut_down(*_):
    global is_shutting_down
    is_shutting_down = True


signal.signal(signal.SIGINT, shut_down)
signal.signal(signal.SIGTERM, shut_down)
while not is_shutting_down:
    for messages in consumer.poll(timeout_ms=200).values():
        for message in messages:
            process_message(message.value.decode(), args.work_seconds)
    consumer.commit()
