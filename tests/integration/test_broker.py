import json
import stat
from typing import Any

import nats
import pytest

from tests.broker_process import BrokerProcess

pytestmark = pytest.mark.anyio


async def ask_server(broker: BrokerProcess, question: str) -> dict[str, Any]:
    client = await nats.connect(broker.sys_url)
    try:
        reply = await client.request(f"$SYS.REQ.SERVER.PING.{question}", b"{}", timeout=5)
        answer: dict[str, Any] = json.loads(reply.data)["data"]
        return answer
    finally:
        await client.close()


async def test_the_server_itself_says_that_it_syncs_always(nats_server: BrokerProcess) -> None:
    jetstream = (await ask_server(nats_server, "VARZ"))["jetstream"]["config"]

    assert jetstream["sync_always"] is True


async def test_it_listens_on_loopback_alone_and_takes_eight_megabytes(nats_server: BrokerProcess) -> None:
    server = await ask_server(nats_server, "VARZ")

    assert server["host"] == "127.0.0.1"
    assert server["max_payload"] == 8 * 1024 * 1024


async def test_what_was_acknowledged_is_there_after_kill_9(nats_server: BrokerProcess) -> None:
    client = await nats.connect(nats_server.url)
    try:
        jetstream = client.jetstream()
        await jetstream.add_stream(name="KEPT", subjects=["kept.>"])
        for number in range(50):
            await jetstream.publish("kept.one", str(number).encode())
    finally:
        await client.close()

    nats_server.restart()

    client = await nats.connect(nats_server.url)
    try:
        state = (await client.jetstream().stream_info("KEPT")).state
        assert (state.messages, state.last_seq) == (50, 50)
        assert (await client.jetstream().get_msg("KEPT", 50)).data == b"49"
    finally:
        await client.close()


async def test_nobody_gets_in_without_the_credentials(nats_server: BrokerProcess) -> None:
    with pytest.raises(nats.errors.Error):
        await nats.connect(f"nats://127.0.0.1:{nats_server.config.port}", allow_reconnect=False)


async def test_files_with_secrets_are_for_the_owner_alone(nats_server: BrokerProcess) -> None:
    for name in ("nats.conf", "credentials.json"):
        assert stat.S_IMODE((nats_server.home.nats / name).stat().st_mode) == 0o600
