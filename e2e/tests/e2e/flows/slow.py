"""slow.py HOST SECONDS: says the first words of HTTP and of TLS a byte a second, and
tells whether somebody cut the connection in that time."""

import socket
import sys
import threading
import time

host, seconds = sys.argv[1], int(sys.argv[2])
# Methods are no longer than 32 bytes, so this may be one for long.
words = {80: b"G" * 30, 443: bytes.fromhex("160301020001fc0303") + bytes(500)}
told = {}


def speak(port):
    stream = socket.create_connection((host, port), timeout=5)
    stream.settimeout(1)
    told[port] = "open"
    for at in range(seconds):
        try:
            stream.sendall(words[port][at : at + 1])
            if at:
                stream.recv(100)
            else:
                time.sleep(1)
                continue
            told[port] = "cut"
            return
        except TimeoutError:
            pass
        except OSError:
            told[port] = "cut"
            return


threads = [threading.Thread(target=speak, args=(port,)) for port in words]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for port in words:
    print(port, told.get(port))
