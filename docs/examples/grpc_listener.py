"""Listens to a topic over gRPC and goes on where it was cut off. Needs: pip install grpcio grpcio-tools, and the files
of crates/proto/proto on PYTHONPATH."""
import os, time
import grpc

protos, services = grpc.protos_and_services("fanfare/v1/events.proto")
words = grpc.protos("fanfare/v1/event.proto")
address, token, topic = (os.environ[name] for name in ("FANFARE_GRPC", "FANFARE_TOKEN", "TOPIC"))
metadata, position = [("authorization", f"Bearer {token}")], "start"
while True:
    try:
        with grpc.insecure_channel(address) as channel:
            request = protos.SubscribeRequest(
                topics=[protos.TopicFrom(topic=topic)], **{"from": words.From(text=position)}
            )
            for frame in services.EventsStub(channel).Subscribe(request, metadata=metadata):
                if frame.HasField("event"):
                    position = frame.event.position
                    print(frame.event.text or frame.event.json.decode(), flush=True)
                elif frame.HasField("gap") or frame.HasField("disconnect"):
                    print("#", str(frame).replace("\n", " "), flush=True)
    except grpc.RpcError as error:
        print("#", error.code(), error.details(), flush=True)
    time.sleep(1)
