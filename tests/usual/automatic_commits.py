"""Automatic commits, the default: a message counts as done once poll() returned it.

A crash loses the users in the buffer, because their offsets are committed already.
"""

import time

from kafka import KafkaConsumer

from batch_worker import CLUSTER, process_messages, read_flags

args = read_flags()
place = {"group_id": args.group, "auto_offset_reset": "earliest"}
consumer = KafkaConsumer(args.topic, **place, **CLUSTER)
buffer = []
next_flush = time.monotonic() + args.interval
while True:
    for messages in consumer.poll(timeout_ms=200).values():
        for message in messages:
            print("received a message, inserting into a queue buffer", flush=True)
            buffer.append(message.value.decode())
    if buffer and time.monotonic() > next_flush:
        process_messages(buffer, args.work_seconds)
        buffer.clear()
        next_flush = time.monotonic() + args.interval
