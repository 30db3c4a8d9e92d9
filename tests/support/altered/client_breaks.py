"""Let every poll() raise, once three messages were received, and let close() raise."""

import altered

script = altered.script()


class BreakingConsumer(script.KafkaConsumer):
    received = 0

    def poll(self, *arguments, **options):
        if self.received >= 3:
            raise RuntimeError("the client broke")
        polled = super().poll(*arguments, **options)
        self.received += sum(map(len, polled.values()))
        return polled

    def close(self, *arguments, **options):
        raise RuntimeError("the client broke in close()")


script.KafkaConsumer = BreakingConsumer
script.main()
