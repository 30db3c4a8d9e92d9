"""SecureBroker: two more listeners with TLS, and users who each lack one right."""

import json

import pytest
import trustme
from broker import Broker, free_port
from confluent_kafka import admin
from cryptography.hazmat.primitives import serialization
from jars import VERSION
from variables import settings

PASSWORD = 's3cr3t "quoted" \\back%s{0}=\u00fc'
SECRET = PASSWORD.encode()
RIGHTS = {  # user: what the user may do with any topic, and with any group
    "alice": {"TOPIC": "ALL", "GROUP": "ALL"},
    "topicless": {"GROUP": "ALL"},
    "groupless": {"TOPIC": "ALL"},
    "reader": {"TOPIC": "READ", "GROUP": "ALL"},
    "writer": {"TOPIC": "WRITE"},
}
HAS_SCRAM = [int(number) for number in VERSION.split(".")[:2]] >= [3, 5]


def needs_scram():
    """Skip the test if this version of Kafka has SCRAM with ZooKeeper only."""
    if not HAS_SCRAM:
        pytest.skip(f"needs SCRAM, and Kafka {VERSION} is older than 3.5")


def allow(user, right, kind):
    """Return the rule that a user may do this with all topics, or all groups."""
    place = admin.ResourceType[kind], "*", admin.ResourcePatternType.LITERAL
    operation, permission = admin.AclOperation[right], admin.AclPermissionType.ALLOW
    return admin.AclBinding(*place, f"User:{user}", "*", operation, permission)


def pkcs8(certificate, encryption):
    """Return its key in the only format that Kafka reads."""
    pem = certificate.private_key_pem.bytes()
    key = serialization.load_pem_private_key(pem, None)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(*form, encryption)


class SecureBroker(Broker):
    """A broker with an open listener, `address`, and two that ask who one is.

    Both take TLS with a certificate of our own making (`cafile`). One takes `PASSWORD`
    from each of the users in RIGHTS, and `environment` leads a script to it as alice,
    by PLAIN. The other takes the certificate of a client: that in client.pem is
    alice's, with its key in client-key.pem, and `mutual_environment` names them.
    """

    def __init__(self, data, port=0, **properties):
        super().__init__(data, port, **properties)
        self.cafile = self.data / "ca.pem"
        sasl_port, mutual_port = free_port(), free_port()
        hosts = {"listeners": "127.0.0.1", "advertised.listeners": "localhost"}
        for name, host in hosts.items():
            more = f",SASL_SSL://{host}:{sasl_port},MUTUAL://{host}:{mutual_port}"
            self.properties[name] += more
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{sasl_port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_PLAIN_USERNAME": "alice",
            "KAFKA_SASL_PLAIN_PASSWORD": PASSWORD,
            "KAFKA_SSL_CAFILE": str(self.cafile),
        }
        self.mutual_environment = {
            "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{mutual_port}",
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CAFILE": str(self.cafile),
            "KAFKA_SSL_CERTFILE": str(self.data / "client.pem"),
            "KAFKA_SSL_KEYFILE": str(self.data / "client-key.pem"),
        }
        password = json.dumps(PASSWORD, ensure_ascii=False)
        logins = "".join(f" user_{user}={password}" for user in RIGHTS)
        login = "org.apache.kafka.common.security.{}LoginModule required{};"
        plain = login.format("plain.Plain", logins)
        scram = login.format("scram.Scram", "")
        authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        self.properties |= {
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,"
            "CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,MUTUAL:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": (self.data / "server.pem").as_posix(),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.cafile.as_posix(),
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:.*CN=([^,]*).*/$1/",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": plain,
            "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": scram,
            "authorizer.class.name": authorizer,
            "super.users": "User:ANONYMOUS",
        }

    def start(self):
        """Make the certificates, start, and tell the broker its users and rights."""
        self.certify()
        super().start()
        client = admin.AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        rules = [
            allow(user, right, kind)
            for user, rights in RIGHTS.items()
            for kind, right in rights.items()
        ]
        answers = [*client.create_acls(rules).values()]
        if HAS_SCRAM:
            scram = admin.ScramCredentialInfo(admin.ScramMechanism.SCRAM_SHA_256, 4096)
            change = admin.UserScramCredentialUpsertion
            changes = [change(user, scram, SECRET) for user in RIGHTS]
            answers += client.alter_user_scram_credentials(changes).values()
        for answer in answers:
            answer.result()
        for environment in (self.environment, self.mutual_environment):
            address = environment["KAFKA_BOOTSTRAP_SERVERS"]
            client = admin.AdminClient(settings(address, environment))
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
            locked = pkcs8(client, serialization.BestAvailableEncryption(SECRET))
            (self.data / f"{name}-locked-key.pem").write_bytes(locked)
        server = authority.issue_cert("localhost")
        key = pkcs8(server, serialization.NoEncryption())
        (self.data / "server.pem").write_bytes(key + server.cert_chain_pems[0].bytes())
