"""A proxy as companies have them: CONNECT alone, for those who sign in as alice."""

import base64
import socket
import sys
import threading

port, target, log = int(sys.argv[1]), sys.argv[2], open(sys.argv[3], "a", buffering=1)
GRANTED = "Basic " + base64.b64encode(b"alice:open sesame").decode()


def copy(source, sink):
    while piece := source.recv(65536):
        sink.sendall(piece)
    sink.shutdown(socket.SHUT_WR)


def serve(program):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += program.recv(1)
    lines = head.decode().split("\r\n")
    signed_in = f"proxy-authorization: {GRANTED}" in lines
    log.write(f"{lines[0]}, {'alice' if signed_in else 'a stranger'}\n")
    if not signed_in:
        program.sendall(b"HTTP/1.1 407 Sign In\r\nproxy-authenticate: Basic\r\n\r\n")
        return program.close()
    # Every name leads to the one server there is.
    asked = lines[0].split()[1].rsplit(":", 1)[1]
    host = socket.create_connection((target, int(asked)))
    program.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    threading.Thread(target=copy, args=(program, host)).start()
    copy(host, program)


listener = socket.create_server(("127.0.0.1", port))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],)).start()
