"""bulk.py serve MEBIBYTES | bulk.py pull HOST: much, and nothing but zeros, on port 9000."""

import os
import socket
import sys
import tempfile

if sys.argv[1] == "serve":
    with tempfile.TemporaryFile() as file:
        size = int(sys.argv[2]) << 20
        os.truncate(file.fileno(), size)
        with socket.create_server(("::", 9000), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            while True:
                stream, _ = server.accept()
                with stream:
                    at = 0
                    try:
                        # The host speaks only after the program has.
                        while stream.recv(1) and at < size:
                            while at < size:
                                at += os.sendfile(stream.fileno(), file.fileno(), at, 1 << 30)
                            stream.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass
else:
    with socket.create_connection((sys.argv[2], 9000), timeout=30) as stream:
        stream.sendall(b"!")
        total = 0
        room = bytearray(1 << 20)
        while count := stream.recv_into(room):
            total += count
        print(total)
