"""Quiet on its output, while data comes in slowly."""

import socket
import threading
import time

server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()


def serve() -> None:
    peer, _ = server.accept()
    for _ in range(90):
        peer.send(b"x" * 2048)
        time.sleep(0.1)
    peer.close()


threading.Thread(target=serve, daemon=True).start()
with socket.create_connection(server.getsockname()) as client:
    size = 0
    while chunk := client.recv(4096):
        size += len(chunk)
print("downloaded", size)
