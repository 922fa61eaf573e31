"""PyPI `websockets`. Every line of standard input is sent as one frame."""

import json
import os
import sys
import threading

from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

orders = json.loads(sys.argv[1])


def say(what):
    print(json.dumps(what), flush=True)


subprotocols = [orders["subprotocol"]] if orders.get("subprotocol") else None
# By default it offers to decompress with the usual window.
bits = orders.get("window_bits")
extensions = [ClientPerMessageDeflateFactory(server_max_window_bits=bits)] if bits else None
with connect(orders["url"], subprotocols=subprotocols, extensions=extensions, proxy=None) as socket:
    say("open")
    if orders.get("extensions"):
        # As if it had been said by the server.
        say({"frame": json.dumps({"extensions": socket.response.headers.get("Sec-WebSocket-Extensions")})})

    def send_input():
        for line in sys.stdin:
            socket.send(line.rstrip("\n"))
        # The test ends this program by closing its input.
        os._exit(0)

    threading.Thread(target=send_input, daemon=True).start()
    try:
        while True:
            message = socket.recv()
            say({"frame": message} if isinstance(message, str) else {"error": "a binary message"})
    except ConnectionClosed as end:
        frame = end.rcvd
        say({"closed": {"code": frame.code if frame else 1006, "reason": frame.reason if frame else ""}})
