import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { announce } from "./serve.ts";

// The least that HTTP/1.1 costs in Node: no routing, no body, no work.
const server = createServer((_request, response) => response.end('{"success":true}'));
server.listen(0, "127.0.0.1");
await once(server, "listening");
announce({ http: (server.address() as AddressInfo).port });
