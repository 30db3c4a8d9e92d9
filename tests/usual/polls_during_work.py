"""A thread that goes on polling during the work.

Its poll gives a partition away whose users are in hand: a new worker emails them, too.
"""

import queue
import threading
import time

from kafka import KafkaConsumer

from batch_worker import CLUSTER, process_messages, read_flags

args = read_flags()
place = {"group_id": args.group, "auto_offset_reset": "earliest"}
consumer = KafkaConsumer(args.topic, enable_auto_commit=False, **place, **CLUSTER)
buffer = queue.Queue()


def fill_buffer():
    for message in consumer:
        print("received a message, inserting into a queue buffer", flush=True)
        buffer.put(message.value.decode())


threading.Thread(target=fill_buffer, daemon=True).start()
next_flush = time.monotonic() + args.interval
while True:
    time.sleep(0.1)
    if buffer.qsize() >= args.max_batch_size or time.monotonic() > next_flush:
        users = [buffer.get() for _ in range(buffer.qsize())]
        if users:
            process_messages(users, args.work_seconds)
            consumer.commit()
        next_flush = time.monotonic() + args.interval
