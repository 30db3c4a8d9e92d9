"""Let the producer notice within a second, not five minutes, that its topic is gone."""

import functools

import altered

script = altered.script()
script.KafkaProducer = functools.partial(
    script.KafkaProducer, metadata_max_age_ms=1_000
)
script.main()
