"""The scripts' variables, and what confluent-kafka calls each of these settings."""

import os

NAMES = {
    "KAFKA_SECURITY_PROTOCOL": "security.protocol",
    "KAFKA_SSL_CAFILE": "ssl.ca.location",
    "KAFKA_SSL_CERTFILE": "ssl.certificate.location",
    "KAFKA_SSL_KEYFILE": "ssl.key.location",
    "KAFKA_SSL_PASSWORD": "ssl.key.password",
    "KAFKA_SASL_MECHANISM": "sasl.mechanism",
    "KAFKA_SASL_PLAIN_USERNAME": "sasl.username",
    "KAFKA_SASL_PLAIN_PASSWORD": "sasl.password",
}


def settings(bootstrap, environment=os.environ):
    """Return confluent-kafka's settings for this address, with these credentials."""
    secrets = {NAMES[n]: environment[n] for n in NAMES if environment.get(n)}
    return {"bootstrap.servers": bootstrap, "log_level": 0, **secrets}
