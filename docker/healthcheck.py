"""Exit 0 if the gateway in this container says that it is alive, 1 if not. Standard library only: it runs every ten seconds.

It asks at ROLEGATE_PORT, which the image sets and which stands above a port in any configuration file.
"""

import http.client
import os
import sys


def alive(port: int) -> bool:
    """Whether ``GET /healthz`` on this machine's own address answers 200 within 4 s."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if alive(int(os.environ.get("ROLEGATE_PORT", "4000"))) else 1)
