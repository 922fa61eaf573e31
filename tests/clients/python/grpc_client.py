"""PyPI `grpcio`, which learns the messages from the server's reflection. Every line of standard input is a request."""

import json
import os
import queue
import sys
import threading

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

orders = json.loads(sys.argv[1])


def say(what):
    print(json.dumps(what), flush=True)


def show(message):
    say({"frame": json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)})


if orders.get("ca"):
    with open(orders["ca"], "rb") as file:
        channel = grpc.secure_channel(orders["address"], grpc.ssl_channel_credentials(file.read()))
else:
    channel = grpc.insecure_channel(orders["address"])
pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))


def method(service, name):
    """A callable for a method, with messages as the server describes them."""
    described = pool.FindServiceByName(f"fanfare.v1.{service}").FindMethodByName(name)
    kind = ("stream" if described.client_streaming else "unary") + (
        "_stream" if described.server_streaming else "_unary"
    )
    asked = message_factory.GetMessageClass(described.input_type)
    answered = message_factory.GetMessageClass(described.output_type)
    call = getattr(channel, kind)(
        f"/fanfare.v1.{service}/{name}",
        request_serializer=asked.SerializeToString,
        response_deserializer=answered.FromString,
    )
    return call, asked


metadata = [("authorization", f"Bearer {orders['token']}")] if orders.get("token") else []
service, name = orders["method"].split("/")
call, asked = method(service, name)
try:
    if orders.get("request") is not None:
        answer = call(json_format.ParseDict(orders["request"], asked()), metadata=metadata)
    else:
        requests = queue.Queue()

        def read_input():
            for line in sys.stdin:
                requests.put(json_format.Parse(line, asked()))
            # The test ends this program by closing its input.
            os._exit(0)

        threading.Thread(target=read_input, daemon=True).start()
        answer = call(iter(requests.get, None), metadata=metadata)
    say("open")
    for frame in answer if hasattr(answer, "__iter__") else [answer]:
        show(frame)
    say("end")
except grpc.RpcError as error:
    say({"error": f"{error.code().value[0]} {error.details()}"})
