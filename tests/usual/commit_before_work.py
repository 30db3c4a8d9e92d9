"""A commit before the work.

A crash leaves the user in hand half done, because nobody reads that message again.
"""

from kafka import KafkaConsumer

from streaming_worker import CLUSTER, process_message, read_flags

args = read_flags()
place = {"group_id": args.group, "auto_offset_reset": "earliest"}
consumer = KafkaConsumer(args.topic, enable_auto_commit=False, **place, **CLUSTER)
for message in consumer:
    consumer.commit()
    process_message(message.value.decode(), args.work_seconds)
