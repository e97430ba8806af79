"""A request to a server that accepts and never answers.

Verdict: awaiting_api.
"""

import socket
import urllib.request

server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print("asking for comments", flush=True)
urllib.request.urlopen(f"http://127.0.0.1:{server.getsockname()[1]}/comments")
