"""bulk.py serve MEBIBYTES | bulk.py pull HOST: much, and nothing but zeros, on port 9000."""

import os
import socket
import sys
import tempfile

if sys.argv[1] == "serve":
    with tempfile.TemporaryFile() as file:
        # A small file many times over stays in memory.
        piece, pieces = 64 << 20, int(sys.argv[2]) // 64
        os.truncate(file.fileno(), piece)
        with socket.create_server(("::", 9000), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            while True:
                stream, _ = server.accept()
                with stream:
                    try:
                        # The host speaks only after the program has.
                        if stream.recv(1):
                            for _ in range(pieces):
                                at = 0
                                while at < piece:
                                    at += os.sendfile(stream.fileno(), file.fileno(), at, piece - at)
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
