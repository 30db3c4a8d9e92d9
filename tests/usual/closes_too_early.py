"""A connection that is closed before the last flush.

After close() nothing can be committed, so the next worker emails all again.
"""

import contextlib
import signal
import time

from kafka import KafkaConsumer

from batch_worker import CLUSTER, process_messages, read_flags

args = read_flags()
place = {"group_id": args.group, "auto_offset_reset": "earliest"}
consumer = KafkaConsumer(args.topic, enable_auto_commit=False, **place, **CLUSTER)
buffer = []
is_shutting_down = False


def shut_down(*_):
    global is_shutting_down
    is_shutting_down = True


def flush():
    if buffer:
        process_messages(buffer, args.work_seconds)
        buffer.clear()
        consumer.commit()


signal.signal(signal.SIGINT, shut_down)
signal.signal(signal.SIGTERM, shut_down)
next_flush = time.monotonic() + args.interval
with contextlib.closing(consumer):
    while not is_shutting_down:
        for messages in consumer.poll(timeout_ms=200).values():
            for message in messages:
                print("received a message, inserting into a queue buffer", flush=True)
                buffer.append(message.value.decode())
        if time.monotonic() > next_flush:
            flush()
            next_flush = time.monotonic() + args.interval
flush()
