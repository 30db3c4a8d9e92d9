"""A broker with a second listener, for SASL_SSL, and users of whom each lacks one right."""

import json

import trustme
from broker import Broker, free_port
from cryptography.hazmat.primitives import serialization
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)

PASSWORD = 's3cr3t "quoted" \\back%s{0}=\N{LATIN SMALL LETTER U WITH DIAERESIS}'
RIGHTS = {  # user: what he may do with any topic, and with any group
    "alice": ("ALL", "ALL"),
    "topicless": (None, "ALL"),
    "groupless": ("ALL", None),
    "reader": ("READ", "ALL"),
    "writer": ("WRITE", None),
}
MODULES = {
    "PLAIN": "plain.PlainLoginModule",
    "SCRAM-SHA-256": "scram.ScramLoginModule",
}


class SecureBroker(Broker):
    """A broker where everybody may do everything by `address`, but not by `secure_address`.

    `secure_address` takes TLS with a certificate of our own making (`cafile`), and `PASSWORD`.
    """

    def __init__(self, data, port=0, **properties):
        super().__init__(data, port, **properties)
        port = free_port()
        self.secure_address = f"localhost:{port}"
        self.cafile, self.other_cafile = self.data / "ca.pem", self.data / "other-ca.pem"
        self.properties["listeners"] += f",SASL_SSL://127.0.0.1:{port}"
        self.properties["advertised.listeners"] += f",SASL_SSL://{self.secure_address}"
        self.properties.update(
            {
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
                "SASL_SSL:SASL_SSL",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": (self.data / "server.pem").as_posix(),
                "sasl.enabled.mechanisms": ",".join(MODULES),
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
            }
        )
        known = "".join(
            f" user_{user}={json.dumps(PASSWORD, ensure_ascii=False)}" for user in RIGHTS
        )
        for mechanism, module in MODULES.items():
            jaas = f"org.apache.kafka.common.security.{module} required"
            jaas += f"{known};" if mechanism == "PLAIN" else ";"
            name = f"listener.name.sasl_ssl.{mechanism.lower()}.sasl.jaas.config"
            self.properties[name] = json.dumps(jaas)[1:-1]  # a properties file escapes as JSON does

    @property
    def environment(self):
        """What leads a script to `secure_address` as alice, by PLAIN."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.secure_address,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_PLAIN_USERNAME": "alice",
            "KAFKA_SASL_PLAIN_PASSWORD": PASSWORD,
            "KAFKA_SSL_CAFILE": str(self.cafile),
        }

    def start(self):
        """Make the certificates, start, and tell the broker its users and their rights."""
        self.certify()
        super().start()
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(user, "SCRAM-SHA-256", PASSWORD) for user in RIGHTS]
        )
        admin.create_acls(
            [
                ACL(
                    f"User:{user}",
                    "*",
                    ACLOperation[right],
                    ACLPermissionType.ALLOW,
                    ResourcePattern(resource, "*"),
                )
                for user, rights in RIGHTS.items()
                for resource, right in zip([ResourceType.TOPIC, ResourceType.GROUP], rights)
                if right
            ]
        )
        admin.close()

    def certify(self):
        """Write a CA, another CA, and the broker's key and certificate, signed by the first."""
        self.data.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.cafile)
        trustme.CA().cert_pem.write_to_path(self.other_cafile)
        leaf = authority.issue_cert("localhost")
        key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,  # the only one that Kafka reads
            serialization.NoEncryption(),
        )
        chain = b"".join(certificate.bytes() for certificate in leaf.cert_chain_pems)
        (self.data / "server.pem").write_bytes(key + chain)
