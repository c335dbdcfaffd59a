# SPDX-License-Identifier: Apache-2.0
"""Pages in headless Chromium, through the DevTools protocol. Standard library only."""
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.request

PATIENCE = 120  # seconds for any one answer: the machine may be busy


class Browser:
    """One Chromium with one page. `problems` and `requests` hold what the page did since open()."""

    def __init__(self):
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if not program:
            raise RuntimeError("chromium is not installed; './dev test' installs it")
        self.profile = tempfile.mkdtemp(prefix="onepeace-chromium-")
        # No name resolves: nothing can reach a network even when a page tries.
        args = ["--headless=new", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars",
                "--remote-allow-origins=*", "--user-data-dir=" + self.profile, "--no-first-run",
                "--disable-dev-shm-usage", "--disable-background-networking", "--mute-audio",
                "--autoplay-policy=no-user-gesture-required", "--host-resolver-rules=MAP * ~NOTFOUND"]
        if os.geteuid() == 0:
            args.append("--no-sandbox")
        self.process = subprocess.Popen(["timeout", "900", program, *args, "about:blank"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env={**os.environ, "HOME": self.profile})
        try:
            self.connect()
        except BaseException:
            self.close()
            raise

    def connect(self):
        # Its errors are read to the end, so that it never waits for a full pipe.
        found, lines = threading.Event(), []

        def read():
            for line in self.process.stderr:
                lines.append(line)
                if b"DevTools listening on ws://" in line:
                    found.set()
            found.set()

        threading.Thread(target=read, daemon=True).start()
        found.wait(PATIENCE)
        ports = [line.split(b"ws://")[1].split(b"/")[0].decode() for line in lines
                 if b"DevTools listening on ws://" in line]
        if not ports:
            raise RuntimeError(b"".join(lines).decode("utf-8", "replace")[-2000:])
        with urllib.request.urlopen(f"http://{ports[0]}/json", timeout=PATIENCE) as answer:
            page = next(t for t in json.load(answer) if t["type"] == "page")
        path = page["webSocketDebuggerUrl"].split(ports[0], 1)[1]
        host, port = ports[0].rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: {ports[0]}\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                             "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        while self.file.readline() not in (b"\r\n", b""):
            pass
        self.number, self.loaded = 0, False
        self.problems, self.requests = [], []
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(domain + ".enable")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    # --- The protocol -------------------------------------------------------------------------

    def send(self, message):
        data = json.dumps(message).encode()
        size = (bytes([0x80 | len(data)]) if len(data) < 126 else
                b"\xfe" + struct.pack(">H", len(data)) if len(data) < 65536 else
                b"\xff" + struct.pack(">Q", len(data)))
        self.socket.sendall(b"\x81" + size + bytes(4) + data)  # masked with zeros

    def receive(self):
        message = b""
        while True:
            head = self.file.read(2)
            if len(head) < 2:
                raise RuntimeError("Chromium closed the connection")
            size = head[1] & 127
            if size >= 126:
                size = int.from_bytes(self.file.read(2 if size == 126 else 8), "big")
            message += self.file.read(size)
            if head[0] & 128:
                return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while True:
            message = self.receive()
            if message.get("id") != self.number:
                self.note(message)
            elif "error" in message:
                raise RuntimeError(f"{method}: {message['error']}")
            else:
                return message["result"]

    def note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Network.loadingFailed":
            self.problems.append(f"failed to load: {params.get('errorText')} "
                                 f"{params.get('blockedReason', '')}")
        elif method == "Runtime.exceptionThrown":
            self.problems.append("exception: " + json.dumps(params["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert", "warning"):
            self.problems.append("console: " + json.dumps(params["args"])[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append("log: " + params["entry"]["text"][:500])

    # --- A page -------------------------------------------------------------------------------

    def open(self, path, width=1280, height=900, script=True, scheme="light"):
        """Opens a file and waits until it is loaded."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 800)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.problems, self.requests, self.loaded = [], [], False
        self.call("Page.navigate", url="file://" + path)
        deadline = time.monotonic() + PATIENCE
        while not self.loaded:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{path} did not load: {self.problems}")
            self.note(self.receive())

    def run(self, expression):
        """The value of an expression in the page; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"])[:1000])
        return result["result"].get("value")

    def key(self, name, code=None):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name,
                      windowsVirtualKeyCode=code or 0)

    def outside(self):
        """Requests that left the page and the file."""
        return [url for url in self.requests if not url.startswith(("file:", "data:"))]
