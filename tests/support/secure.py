"""SecureBroker: two more listeners with TLS, and users who each lack one right."""

import json

import pytest
import trustme
from broker import Broker, free_port
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import serialization
from jars import VERSION
from variables import settings

PASSWORD = 's3cr3t "quoted" \\back%s{0}=\u00fc'
RIGHTS = {  # user: what the user may do with any topic, and with any group
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
HAS_SCRAM = [int(number) for number in VERSION.split(".")[:2]] >= [3, 5]


def needs_scram():
    """Skip the test if this version of Kafka has SCRAM with ZooKeeper only."""
    if not HAS_SCRAM:
        pytest.skip(f"needs SCRAM, and Kafka {VERSION} is older than 3.5")


def allow(user, right, resource):
    """Return the rule that a user may do this with all topics, or all groups."""
    place = resource, "*", ResourcePatternType.LITERAL
    whom = f"User:{user}", "*", AclOperation[right], AclPermissionType.ALLOW
    return AclBinding(*place, *whom)


def pkcs8(pem, encryption):
    """Return a key in the only format that Kafka reads."""
    key = serialization.load_pem_private_key(pem, None)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(*form, encryption)


class SecureBroker(Broker):
    """A broker with an open listener, `address`, and two that ask who one is.

    Both take TLS with a certificate of our own making (`cafile`). `secure_address`
    takes `PASSWORD` from each of the users in RIGHTS, `mutual_address` the certificate
    of a client: that in client.pem is alice's, with its key in client-key.pem.
    """

    def __init__(self, data, port=0, **properties):
        super().__init__(data, port, **properties)
        port, mutual_port = free_port(), free_port()
        self.secure_address = f"localhost:{port}"
        self.mutual_address = f"localhost:{mutual_port}"
        self.cafile = self.data / "ca.pem"
        hosts = {"listeners": "127.0.0.1", "advertised.listeners": "localhost"}
        for name, host in hosts.items():
            more = f",SASL_SSL://{host}:{port},MUTUAL://{host}:{mutual_port}"
            self.properties[name] += more
        authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        self.properties.update(
            {
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,"
                "CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,MUTUAL:SSL",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": (self.data / "server.pem").as_posix(),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": self.cafile.as_posix(),
                "listener.name.mutual.ssl.client.auth": "required",
                "ssl.principal.mapping.rules": "RULE:.*CN=([^,]*).*/$1/",
                "sasl.enabled.mechanisms": ",".join(MODULES),
                "authorizer.class.name": authorizer,
                "super.users": "User:ANONYMOUS",
            }
        )
        password = json.dumps(PASSWORD, ensure_ascii=False)
        logins = "".join(f" user_{user}={password}" for user in RIGHTS)
        for mechanism, module in MODULES.items():
            jaas = f"org.apache.kafka.common.security.{module} required"
            jaas += f"{logins};" if mechanism == "PLAIN" else ";"
            name = f"listener.name.sasl_ssl.{mechanism.lower()}.sasl.jaas.config"
            self.properties[name] = jaas

    @property
    def environment(self):
        """The variables that lead a script to `secure_address` as alice, by PLAIN."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.secure_address,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_PLAIN_USERNAME": "alice",
            "KAFKA_SASL_PLAIN_PASSWORD": PASSWORD,
            "KAFKA_SSL_CAFILE": str(self.cafile),
        }

    @property
    def mutual_environment(self):
        """The variables that lead a script to `mutual_address` as alice."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.mutual_address,
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CAFILE": str(self.cafile),
            "KAFKA_SSL_CERTFILE": str(self.data / "client.pem"),
            "KAFKA_SSL_KEYFILE": str(self.data / "client-key.pem"),
        }

    def start(self):
        """Make the certificates, start, and tell the broker its users and rights."""
        self.certify()
        super().start()
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
        changes = [
            UserScramCredentialUpsertion(user, scram, PASSWORD.encode())
            for user in RIGHTS
        ]
        rights = [
            allow(user, right, resource)
            for user, rights in RIGHTS.items()
            for resource, right in zip([ResourceType.TOPIC, ResourceType.GROUP], rights)
            if right
        ]
        answers = [*admin.create_acls(rights).values()]
        if HAS_SCRAM:
            answers += admin.alter_user_scram_credentials(changes).values()
        for answer in answers:
            answer.result()
        for environment in (self.environment, self.mutual_environment):
            address = environment["KAFKA_BOOTSTRAP_SERVERS"]
            client = AdminClient(settings(address, environment))
            client.list_topics(timeout=60)  # the first log-in to a broker takes long

    def certify(self):
        """Write two CAs, and keys and certificates of the broker and two clients.

        The first CA signs the broker's and client.pem, the other signs stranger.pem.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        authority, other = trustme.CA(), trustme.CA()
        authority.cert_pem.write_to_path(self.cafile)
        other.cert_pem.write_to_path(self.data / "other-ca.pem")
        for signer, name in [(authority, "client"), (other, "stranger")]:
            client = signer.issue_cert("alice@example.org", common_name="alice")
            client.cert_chain_pems[0].write_to_path(self.data / f"{name}.pem")
            client.private_key_pem.write_to_path(self.data / f"{name}-key.pem")
            locked = serialization.BestAvailableEncryption(PASSWORD.encode())
            key = pkcs8(client.private_key_pem.bytes(), locked)
            (self.data / f"{name}-locked-key.pem").write_bytes(key)
        leaf = authority.issue_cert("localhost")
        key = pkcs8(leaf.private_key_pem.bytes(), serialization.NoEncryption())
        chain = b"".join(certificate.bytes() for certificate in leaf.cert_chain_pems)
        (self.data / "server.pem").write_bytes(key + chain)
