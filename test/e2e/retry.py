"""Makes one unary gRPC call by a channel with a service config, and writes the reply in base64, or the code."""

import base64
import json
import sys

import grpc

call = json.load(sys.stdin)
options = [("grpc.service_config", call["serviceConfig"])]
with grpc.insecure_channel(call["target"], options=options) as channel:
    try:
        reply = channel.unary_unary(call["path"])(
            base64.b64decode(call["message"]),
            metadata=[("authorization", call["authorization"])],
            timeout=60,
        )
        print(base64.b64encode(reply).decode())
    except grpc.RpcError as failure:
        print(failure.code().name)
