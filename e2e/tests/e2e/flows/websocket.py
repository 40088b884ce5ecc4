"""websocket.py HOST PORT TEXT… [--hold]: prints the echo of each text over a WebSocket.

With --hold it then waits for the end, which it tells, or for a file `enough`.
SOURCE: RFC 6455 §1.2, §5.2.
"""

import os
import select
import socket
import ssl
import sys

host, port, *texts = sys.argv[1:]
stream = socket.create_connection((host, int(port)), timeout=10)
if port == "443":
    stream = ssl.create_default_context().wrap_socket(stream, server_hostname=host)
stream.sendall(
    f"GET /socket HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
)
head = b""
while not head.endswith(b"\r\n\r\n"):
    byte = stream.recv(1)
    if not byte:
        sys.exit(f"closed after {head!r}")
    head += byte
if b"101" not in head.split(b"\r\n")[0] or b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" not in head:
    sys.exit(f"no WebSocket: {head!r}")
hold = "--hold" in texts
for text in texts:
    if text != "--hold":
        data = text.encode()
        # A mask of zeros changes nothing.
        stream.sendall(bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data)
        frame = stream.recv(200)
        print(frame[2 : 2 + frame[1]].decode(), flush=True)
if hold:
    stream.settimeout(0.1)
    while not os.path.exists("enough"):
        try:
            frame = stream.recv(200)
            # A frame of opcode 8 says goodbye.
            if not frame or frame[0] & 15 == 8:
                print("ended", flush=True)
                break
        except TimeoutError:
            pass
        except OSError as error:
            print("ended by", error, flush=True)
            break
