"""A server on loopback for tests of downloads, with the faults of real servers."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves the same content at each path, and counts what it is asked for.

    Attributes
    ----------
    content : bytes
    missing : int
        Number of bytes at the end that are not sent, although the stated length includes them.
    paths : list of str
        Paths that were asked for.
    headers : list of dict
        Headers of these requests.
    gate : threading.Event
        Content is sent when it is set.
    """

    def __init__(self, content):
        self.content = content
        self.missing = 0
        self.paths, self.headers = [], []
        self.gate = threading.Event()
        self.gate.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self._server.server_port}/"

    def stop(self):
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.paths.append(self.path)
                server.headers.append(dict(self.headers))
                if self.path.startswith("/nothing"):
                    self.send_error(404)
                elif self.path.startswith("/moved"):
                    self.send_response(302)
                    self.send_header("Location", "/elsewhere")
                    self.end_headers()
                else:
                    self.send_file()

            def send_file(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                server.gate.wait(30)
                self.wfile.write(server.content[: len(server.content) - server.missing])

            def log_message(self, *args):
                """Print nothing."""

        return Handler
