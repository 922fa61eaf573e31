"""Listens to a topic over WebSocket and goes on where it was cut off. Needs: pip install websockets"""
import json, os, time
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

url, token, topic = (os.environ[name] for name in ("FANFARE_URL", "FANFARE_TOKEN", "TOPIC"))
position = "start"
while True:
    try:
        with connect(url.replace("http", "ws", 1) + "/v1/ws") as socket:
            socket.send(json.dumps({"id": 1, "connect": {"token": token, "name": "example"}}))
            socket.send(json.dumps({"id": 2, "subscribe": {"topic": topic, "from": position}}))
            for message in socket:
                for line in message.splitlines():  # a message may hold several frames, a line each
                    frame = json.loads(line)
                    if event := frame.get("event"):
                        position = event["position"]
                        print(event["data"], flush=True)
                    elif "error" in frame or "gap" in frame or "disconnect" in frame:
                        print("#", line, flush=True)
    except (OSError, WebSocketException) as error:
        print("#", error, flush=True)
    time.sleep(1)
