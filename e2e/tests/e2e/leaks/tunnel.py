"""tunnel.py FILE: tries what a file of JSON says by way of the proxy inside, and prints
one outcome a line: what the proxy answered, and what came through the tunnel.

An attempt is a list of steps; each sends bytes in hexadecimal, or begins TLS where it
is `{"tls": NAME}`. After each step something is read.
"""

import json
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

PROXY = ("198.18.0.1", 3128)


def attempt(steps):
    told = []
    try:
        stream = socket.create_connection(PROXY, timeout=5)
        for step in steps:
            if isinstance(step, dict):
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                stream = context.wrap_socket(stream, server_hostname=step["tls"])
                told.append("TLS")
                continue
            stream.sendall(bytes.fromhex(step))
            got = stream.recv(2000)
            told.append(got[:2].hex() if got[:1] in (b"\0", b"\5") else got.split(b"\n")[0].decode("latin-1").strip() or "closed")
    except OSError as error:
        told.append(f"error {error}".replace("\n", " "))
    return ", ".join(told)


with open(sys.argv[1]) as file:
    attempts = json.load(file)
with ThreadPoolExecutor(16) as pool:
    for outcome in pool.map(attempt, attempts):
        print(outcome)
