"""PyPI `httpx-sse`, with the loop around it that its documentation asks an application to write."""

import json
import os
import sys
import threading

import httpx
from httpx_sse import connect_sse

orders = json.loads(sys.argv[1])


def say(what):
    print(json.dumps(what), flush=True)


def end_with_input():
    """The test ends this program by closing its input."""
    sys.stdin.read()
    # sys.exit would only end this thread.
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()

last_id = ""
pause_s = 1.0
with httpx.Client(timeout=httpx.Timeout(10.0, read=None), trust_env=False) as client:
    while True:
        headers = dict(orders["headers"])
        if last_id:
            headers["Last-Event-ID"] = last_id
        try:
            with connect_sse(client, "GET", orders["url"], headers=headers) as source:
                source.response.raise_for_status()
                say("open")
                for event in source.iter_sse():
                    last_id = event.id
                    if event.retry is not None:
                        pause_s = event.retry / 1000
                    say({"event": {"name": event.event, "data": event.data, "id": event.id}})
            say({"error": "the stream has ended"})
        except httpx.HTTPStatusError as error:
            say({"error": str(error)})
            break
        except httpx.TransportError as error:
            say({"error": repr(error)})
        threading.Event().wait(pause_s)
say("end")
