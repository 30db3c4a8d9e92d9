"""Let a poll() end after five milliseconds, in the middle of whatever it does.

The partitions of a topic are looked up five times a second, not every ten seconds.
"""

import altered

worker = altered.script()


class BriefConsumer(worker.KafkaConsumer):
    def __init__(self, *topics, **settings):
        settings.update(metadata_max_age_ms=200, consumer_timeout_ms=5)
        super().__init__(*topics, **settings)

    def poll(self, timeout_ms=0, *arguments, **options):
        return super().poll(min(timeout_ms, 5), *arguments, **options)


worker.KafkaConsumer = BriefConsumer
worker.main()
