"""A broker that speaks TLS: the control plane knows until when its certificate is good."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runplane.bus import Bus
from tests.broker_process import BrokerProcess

pytestmark = pytest.mark.anyio


def certificate(directory: Path, until: datetime) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(until - timedelta(days=30))
        .not_valid_after(until)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


async def test_until_when_the_brokers_certificate_is_good_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = (datetime.now(UTC) + timedelta(days=9)).replace(microsecond=0)
    file, key = certificate(tmp_path, until)
    broker = BrokerProcess(tmp_path / "broker")
    with broker.config.config_file.open("a") as config:
        config.write(f'tls {{ cert_file: "{file}", key_file: "{key}" }}\n')
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    broker.start()
    try:
        bus = await Bus.connect(broker.url.replace("nats://", "tls://"), name="test")
        assert bus.certificate_expiry() == until
        await bus.close()
    finally:
        broker.stop()


async def test_without_encryption_there_is_no_certificate(nats_server: BrokerProcess) -> None:
    bus = await Bus.connect(nats_server.url, name="test")
    assert bus.certificate_expiry() is None
    await bus.close()
