"""No signal handler.

Ctrl+C ends the work in the middle, so the next worker emails that user again.
"""

from kafka import KafkaConsumer

from streaming_worker import CLUSTER, process_message, read_flags

args = read_flags()
place = {"group_id": args.group, "auto_offset_reset": "earliest"}
consumer = KafkaConsumer(args.topic, enable_auto_commit=False, **place, **CLUSTER)
try:
    for message in consumer:
        process_message(message.value.decode(), args.work_seconds)
        consumer.commit()
except KeyboardInterrupt:
    print("Shutting down")
finally:
    consumer.close()
