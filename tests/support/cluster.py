"""Cluster: three brokers, with every partition on all of them."""

import concurrent.futures

from broker import Broker
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient
from script import wait_until
from variables import settings

NODES = (1, 2, 3)


class Cluster:
    """Three brokers in directories below `data`. Any one of them may die."""

    def __init__(self, data):
        self.brokers = {
            node: Broker(data / str(node), **{"node.id": node}) for node in NODES
        }
        voters = [f"{node}@{self.brokers[node].controller}" for node in NODES]
        for broker in self.brokers.values():
            broker.cluster_id = self.brokers[1].cluster_id
            broker.properties.update(
                {
                    "controller.quorum.voters": ",".join(voters),
                    "default.replication.factor": 3,
                    "offsets.topic.replication.factor": 3,
                    "min.insync.replicas": 2,
                }
            )
        self.address = ",".join(broker.address for broker in self.brokers.values())

    def start(self):
        """Start all brokers at once: none is ready before most of them are."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(Broker.start, self.brokers.values()))

    def kill(self):
        """End all brokers at once."""
        for broker in self.brokers.values():
            broker.kill()

    def wait_until_in_sync(self, topic):
        """Wait until the topic and the groups' offsets are on all three brokers."""
        admin = AdminClient(settings(self.address))
        topics = TopicCollection([topic, "__consumer_offsets"])

        def is_in_sync():
            answers = admin.describe_topics(topics, request_timeout=10).values()
            partitions = [p for answer in answers for p in answer.result().partitions]
            return all(len(partition.isr) == 3 for partition in partitions)

        wait_until(is_in_sync, "three replicas of each partition")
