"""Pings a Comanda intake over one connection until standard input ends, then prints its quantiles as JSON.

A process of its own, so that what it measures is the server and not the driver's own load.
"""

import json
import select
import socket
import sys
import time


def main(port: int) -> None:
    """Pings every five milliseconds; prints p50, p99 and the maximum in milliseconds."""
    took: list[float] = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        file = connection.makefile("rb")
        file.readline()
        while not select.select([sys.stdin], [], [], 0.005)[0]:
            began = time.perf_counter()
            connection.sendall(b"ping\n")
            file.readline()
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    found = {"p50": took[len(took) // 2], "p99": took[int(len(took) * 0.99)], "max": took[-1], "pings": len(took)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
