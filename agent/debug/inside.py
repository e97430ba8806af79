"""Runs a Python program under debugpy, in its own process; started in place of the program, with its interpreter.

``python [OPTIONS] inside.py DIRECTORY PACKAGES TARGET…``: ``DIRECTORY`` is the run directory, ``PACKAGES`` where
debugpy is installed, ``TARGET`` what the interpreter would have run (``FILE ARGS…``, ``-m MODULE ARGS…``, ``-c CODE
ARGS…``).

A thread of the process, which the debugger does not see, is the debugger's only client. It keeps the session while
nobody looks, so that a program stays held through the death of the agent, and takes requests at the socket
``debug.sock`` in the run directory, which only the agent's user can reach: one JSON message of the Debug Adapter
Protocol a line. While it starts it listens on loopback for debugpy to connect, behind a random credential, and then
no more: nothing of it can be reached over the network, and there is no process beside the program that could outlive
it. Standard library and debugpy alone; the interpreter may be another than the agent's.
"""

from __future__ import annotations

import json
import os
import runpy
import selectors
import socket
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

START_SECONDS = 20.0
_MOST_CLIENTS = 8
_LONGEST_BYTES = 16 << 20
_GO_ON = frozenset({"continue", "next", "stepIn", "stepOut"})


class Session:
    """The debugger's one client, and the door to it. ``ready`` is set once its breakpoints are set."""

    def __init__(self, directory: str) -> None:
        self.ready = threading.Event()
        self.token = os.urandom(32).hex()
        self._directory = directory
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.settimeout(START_SECONDS)
        self.address = self._listener.getsockname()
        self._selector = selectors.DefaultSelector()
        self._adapter: socket.socket | None = None
        self._unread = b""
        self._seq = 0
        self._asked: dict[int, tuple[Client, Message]] = {}
        self._clients: list[Client] = []
        self._stops = 0
        self._stop: Message | None = None

    def start(self) -> threading.Thread:
        """Serve, in a thread that is neither traced nor suspended by the debugger."""
        thread = threading.Thread(target=self._run, name="runplane-debug", daemon=True)
        thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
        thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            self._adapter, _ = self._listener.accept()
        except OSError as error:
            _complain(f"its debugger did not connect: {error}")
            return
        finally:
            self._listener.close()
        self._adapter.settimeout(START_SECONDS)
        try:
            self._begin()
            door = self._open_door()
        except (OSError, ValueError, KeyError) as error:
            _complain(f"its debugger did not start: {error}")
            return
        self._adapter.settimeout(None)
        self._selector.register(self._adapter, selectors.EVENT_READ, self._from_adapter)
        self._selector.register(door, selectors.EVENT_READ, lambda: self._admit(door))
        self.ready.set()
        while True:
            for key, _ in self._selector.select():
                try:
                    if not key.data():
                        return
                except (OSError, ValueError, KeyError) as error:
                    _complain(f"a message of its debugger was lost: {error}")

    def _begin(self) -> None:
        """Authorize on both sides, set the breakpoints there are, and let the program begin."""
        said = self._ask("pydevdAuthorize", {"debugServerAccessToken": None})
        if said.get("body", {}).get("clientAccessToken") != self.token:
            raise ValueError("another program has connected in its place")
        self._ask("initialize", {"adapterID": "runplane", "pathFormat": "path", "linesStartAt1": True})
        self._ask("attach", {"justMyCode": True, "subProcess": False, "redirectOutput": False})
        with open(os.path.join(self._directory, "debug.json"), "rb") as file:
            points = json.loads(file.read())["files"]
        for path, lines in points.items():
            self._ask("setBreakpoints", {"source": {"path": path}, "breakpoints": lines})
        self._ask("configurationDone", {})

    def _open_door(self) -> socket.socket:
        """The socket in the run directory. Its path may be longer than an address may be: it is bound from inside."""
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        place = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            path = f"/proc/self/fd/{place}/debug.sock"
            if os.path.exists(path):
                os.unlink(path)
            door.bind(path)
            os.chmod(path, 0o600)
        finally:
            os.close(place)
        door.listen(_MOST_CLIENTS)
        return door

    def _ask(self, command: str, arguments: Message) -> Message:
        """Ask while nobody else does, and wait for the answer."""
        self._seq += 1
        seq = self._seq
        self._send({"seq": seq, "type": "request", "command": command, "arguments": arguments})
        while True:
            for message in self._read():
                if message.get("type") == "response" and message.get("request_seq") == seq:
                    if not message.get("success"):
                        raise ValueError(f"{command} was refused: {message.get('message')}")
                    return message
                self._take(message)

    def _send(self, message: Message) -> None:
        assert self._adapter is not None
        body = json.dumps(message).encode()
        self._adapter.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def _read(self) -> list[Message]:
        """The messages that have come; EOFError once the debugger is gone."""
        assert self._adapter is not None
        data = self._adapter.recv(1 << 16)
        if not data:
            raise OSError("the debugger has closed the connection")
        self._unread += data
        messages: list[Message] = []
        while True:
            head, end, rest = self._unread.partition(b"\r\n\r\n")
            if not end:
                return messages
            length = next(
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            if len(rest) < length:
                return messages
            messages.append(json.loads(rest[:length]))
            self._unread = rest[length:]

    def _from_adapter(self) -> bool:
        try:
            messages = self._read()
        except OSError:
            return False
        for message in messages:
            self._take(message)
        return True

    def _take(self, message: Message) -> None:
        kind = message.get("type")
        if kind == "response":
            client, request = self._asked.pop(message["request_seq"], (None, {}))
            if client is not None:
                if not message.get("success") and self._stop is None:
                    self._stop = request.get("stop")  # it did not go on
                client.tell({**message, "request_seq": request["seq"]})
                if request["command"] == "configurationDone" and self._stop is not None:
                    client.tell({"seq": 0, "type": "event", "event": "stopped", "body": self._stop})
        elif kind == "event":
            if message["event"] == "stopped":
                self._stops += 1
                self._stop = {**message.get("body", {}), "number": self._stops}
                message = {**message, "body": self._stop}
            elif message["event"] == "continued":
                self._stop = None
            for client in list(self._clients):
                client.tell(message)

    def _admit(self, door: socket.socket) -> bool:
        connection, _ = door.accept()
        if len(self._clients) >= _MOST_CLIENTS:
            connection.close()
            return True
        connection.settimeout(START_SECONDS)
        client = Client(connection)
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._from_client(client))
        return True

    def _from_client(self, client: Client) -> bool:
        requests = client.read()
        if requests is None:
            self._selector.unregister(client.connection)
            self._clients.remove(client)
            client.connection.close()
            return True
        for request in requests:
            command = request.get("command")
            if command == "runplane":
                client.answer(request, {"stop": self._stop, "pid": os.getpid()})
            elif command in ("disconnect", "terminate"):
                client.answer(request, {})  # the session outlives whoever looks at it
                for other in self._clients:
                    other.tell({"seq": 0, "type": "event", "event": "left", "body": {}})
            else:
                self._seq += 1
                asked: Message = {"seq": request.get("seq"), "command": command}
                if command in _GO_ON:
                    # It may stop again before the answer comes.
                    asked["stop"], self._stop = self._stop, None
                self._asked[self._seq] = (client, asked)
                self._send({**request, "seq": self._seq, "type": "request"})
        return True


class Client:
    """Somebody at the door: lines of JSON."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._unread = b""

    def read(self) -> list[Message] | None:
        """The requests that have come; None once it is gone, or talks nonsense."""
        try:
            data = self.connection.recv(1 << 16)
        except OSError:
            return None
        if not data or len(self._unread) > _LONGEST_BYTES:
            return None
        *lines, self._unread = (self._unread + data).split(b"\n")
        try:
            requests = [json.loads(line) for line in lines if line.strip()]
        except ValueError:
            return None
        return requests if all(isinstance(one, dict) for one in requests) else None

    def tell(self, message: Message) -> None:
        try:
            self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return  # its end of the connection is noticed when it is read

    def answer(self, request: Message, body: Message) -> None:
        self.tell(
            {
                "type": "response",
                "request_seq": request.get("seq"),
                "command": request.get("command"),
                "success": True,
                "body": body,
            }
        )


def begin(directory: str, packages: str) -> None:
    """Debug this process from here on; where that cannot be, it is said on stderr and the program goes on."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    sys.path.insert(0, packages)
    try:
        import debugpy  # noqa: PLC0415 - it may not be there
    except ImportError as error:
        _complain(f"debugpy cannot be imported: {error}")
        return
    finally:
        sys.path.remove(packages)
    try:
        session = Session(directory)
        session.start()
        debugpy.configure(subProcess=False)
        debugpy.connect(session.address, access_token=session.token)
    except Exception as error:  # noqa: BLE001 - the program is there to run, debugged or not
        _complain(f"its debugger did not start: {error}")
        return
    if not session.ready.wait(START_SECONDS):
        _complain("its debugger did not start in time")


def run(target: list[str]) -> None:
    """Run what the interpreter would have run, as ``__main__``."""
    if target[0] == "-m":
        sys.argv = [target[1], *target[2:]]
        sys.path[0] = os.getcwd()
        runpy.run_module(target[1], run_name="__main__", alter_sys=True)
    elif target[0] == "-c":
        sys.argv = ["-c", *target[2:]]
        sys.path[0] = ""
        main = sys.modules["__main__"].__dict__
        main.pop("__file__", None)
        exec(compile(target[1], "<string>", "exec"), main)  # noqa: S102 - what was given to the interpreter
    else:
        sys.argv = target
        sys.path[0] = os.path.dirname(os.path.abspath(target[0]))
        runpy.run_path(target[0], run_name="__main__")


def _complain(why: str) -> None:
    sys.stderr.write(f"runplane: this run is not debugged: {why}\n")


if __name__ == "__main__":
    begin(sys.argv[1], sys.argv[2])
    run(sys.argv[3:])
