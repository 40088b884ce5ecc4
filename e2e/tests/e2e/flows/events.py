"""events.py URL: prints how late each event of a stream arrives, in seconds."""

import sys
import time
import urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
    for line in answer:
        if line.startswith(b"data: "):
            print(f"{time.time() - float(line[6:]):.3f}", flush=True)
