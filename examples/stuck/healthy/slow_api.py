"""A server that takes its time, but answers."""

import http.server
import threading
import time
import urllib.request


class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(1.8)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()
for number in range(6):
    urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/")
    print("answer", number, flush=True)
