"""A producer that does not wait for the broker's answers.

send() only puts a message into memory, which is gone when the program ends.
"""

from kafka import KafkaProducer

from producer import CLUSTER, read_flags

args = read_flags()
producer = KafkaProducer(**CLUSTER)
for number in range(args.count):
    email = f"user{number}@gmail.com"
    producer.send(args.topic, email.encode())
    print(f"Published message to message broker. User email: {email}")
