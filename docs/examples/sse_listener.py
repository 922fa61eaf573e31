"""Listens to a topic over SSE and goes on where it was cut off. Needs: pip install httpx httpx-sse"""
import os, time
import httpx, httpx_sse

url, token, topic = (os.environ[name] for name in ("FANFARE_URL", "FANFARE_TOKEN", "TOPIC"))
headers, cursor = {"Authorization": f"Bearer {token}"}, ""
while True:
    try:
        resume = {"Last-Event-ID": cursor} if cursor else {}
        with httpx.Client(headers=headers | resume, timeout=httpx.Timeout(10, read=60)) as client:
            with httpx_sse.connect_sse(client, "GET", f"{url}/v1/sse", params={"topic": topic, "from": "start"}) as stream:
                for event in stream.iter_sse():
                    cursor = event.id or cursor
                    if not event.event.startswith("fanfare."):  # the server's own words
                        print(event.data, flush=True)
    except httpx.HTTPError as error:
        print("#", error, flush=True)
    time.sleep(1)
