"""Exit 0 if the gateway in this container says that it is alive, 1 if not. Standard library only: it runs every ten seconds.

It asks at ROLEGATE_PORT, which the image sets and which stands above a port in any configuration file; over TLS where
ROLEGATE_TLS_CERT is set. No key is needed for it.
"""

import http.client
import os
import ssl
import sys


def alive(port: int, *, tls: bool) -> bool:
    """Whether ``GET /healthz`` on this machine's own address answers 200 within 4 s."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    if tls:
        # The certificate is for another name than this address, and nothing is sent that anybody else might not read.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=4, context=context)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    port = int(os.environ.get("ROLEGATE_PORT", "4000"))
    sys.exit(0 if alive(port, tls=bool(os.environ.get("ROLEGATE_TLS_CERT"))) else 1)
