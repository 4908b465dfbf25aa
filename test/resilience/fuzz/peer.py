"""Makes the unary gRPC calls of standard input, one a line as JSON, and writes the name of each one's code."""

import base64
import json
import sys

import grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    for line in sys.stdin:
        call = json.loads(line)
        invoke = channel.unary_unary(call["path"])
        try:
            invoke(
                base64.b64decode(call["message"]),
                metadata=list(call["metadata"].items()),
                timeout=call["timeout"] / 1000,
            )
            print("OK")
        except grpc.RpcError as failure:
            print(failure.code().name)
