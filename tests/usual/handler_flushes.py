"""A handler that flushes and exits.

It interrupts the flush that is under way, finds the buffer empty, and commits all.
"""

import signal
import sys
import time

from kafka import KafkaConsumer

from batch_worker import CLUSTER, process_messages, read_flags

args = read_flags()
place = {"group_id": args.group, "auto_offset_reset": "earliest"}
consumer = KafkaConsumer(args.topic, enable_auto_commit=False, **place, **CLUSTER)
buffer = []


def flush():
    users = list(buffer)
    buffer.clear()
    if users:
        process_messages(users, args.work_seconds)
    consumer.commit()


def shut_down(*_):
    flush()
    consumer.close()
    sys.exit(0)


signal.signal(signal.SIGINT, shut_down)
signal.signal(signal.SIGTERM, shut_down)
next_flush = time.monotonic() + args.interval
while True:
    for messages in consumer.poll(timeout_ms=200).values():
        for message in messages:
            print("received a message, inserting into a queue buffer", flush=True)
            buffer.append(message.value.decode())
    if len(buffer) >= args.max_batch_size or time.monotonic() > next_flush:
        flush()
        next_flush = time.monotonic() + args.interval
