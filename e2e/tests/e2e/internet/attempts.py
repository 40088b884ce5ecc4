"""attempts.py FILE: tries each attempt of a file of JSON, prints one outcome a line.

An attempt: `host`, `port`, `send` (bytes in hexadecimal), and where TLS is spoken
`tls` with the `name` it is to give (null for none) and `verify`. An outcome:
the first line that came back, `closed` or `error …`.
"""

import json
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor


def attempt(this):
    try:
        stream = socket.create_connection((this["host"], this["port"]), timeout=5)
        wish = this.get("tls")
        if wish:
            context = ssl.create_default_context()
            if not wish["verify"]:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1"])
            stream = context.wrap_socket(stream, server_hostname=wish["name"])
        # Both an answer and a refusal may come before everything was sent.
        try:
            stream.sendall(bytes.fromhex(this["send"]))
        except OSError:
            pass
        got = b""
        while b"\n" not in got and len(got) < 2000:
            piece = stream.recv(2000)
            if not piece:
                break
            got += piece
            # An alert, a hello, and a no to encryption of PostgreSQL's.
            if got[:1] in (b"\x15", b"\x16", b"N"):
                break
        if got[:1] == b"\x15":
            return f"error alert {got[6] if len(got) > 6 else '?'}"
        if got[:1] == b"\x16":
            return "TLS"
        return got.split(b"\n")[0].decode("latin-1").strip() or "closed"
    except OSError as error:
        return f"error {error}".replace("\n", " ")


with open(sys.argv[1]) as file:
    attempts = json.load(file)
with ThreadPoolExecutor(16) as pool:
    for outcome in pool.map(attempt, attempts):
        print(outcome)
