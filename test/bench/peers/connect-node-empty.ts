import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { emptyService } from "../empty-service.ts";
import { announce } from "./serve.ts";

// Connect's own gRPC with an empty handler and nothing around it.
const server = createServer(
  connectNodeAdapter({ routes: (router) => router.service(emptyService, { empty: () => ({}) }) }),
);
server.listen(0, "127.0.0.1");
await once(server, "listening");
announce({ grpc: (server.address() as AddressInfo).port });
