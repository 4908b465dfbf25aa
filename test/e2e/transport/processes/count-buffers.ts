import { once } from "node:events";
import { queryObjects } from "node:v8";
import { readJsonBody } from "../../../../src/rest/request-body.ts";
import { headerBlock, http2Frame, lengthPrefixed, preface } from "../../../support/frames.ts";
import { openTcp } from "../../../support/raw-http.ts";
import { startTestServer } from "../../../support/transport-server.ts";

// Run as a process of its own: to count buffers all that a process holds is looked through. Says by a message how many
// more there are after a body has come byte by byte.
const [kind = "", count = ""] = process.argv.slice(2);
const pieces = Number(count);
const bodies: Record<string, readonly [path: string, type: string, head: string | Buffer]> = {
  gRPC: [
    "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings",
    "application/grpc",
    lengthPrefixed(Buffer.alloc(0), { length: 2 * pieces }),
  ],
  REST: ["/x", "application/json", "{"],
};
const [path, type, head] = bodies[kind] as (typeof bodies)[string];

/** The buffers that somebody still refers to. */
const buffers = () => queryObjects(Buffer, { format: "count" });

/** The client takes its time on a busy machine. */
const limits = { firstRequestMs: 3_600_000, requestMs: 3_600_000 };
const server = await startTestServer({
  listener: "public",
  limits,
  rest: (request) => {
    readJsonBody(request, 2 * pieces, new AbortController().signal).catch(() => {});
  },
});
const { socket, received } = await openTcp(server.listener.port);
const block = headerBlock([
  [":method", "POST"],
  [":scheme", "http"],
  [":authority", "h"],
  [":path", path],
  ["content-type", type],
  ["authorization", "t"],
]);
const settings = http2Frame(4, 0, 0, Buffer.alloc(0));
socket.write(
  Buffer.concat([preface, settings, http2Frame(1, 4, 1, block), http2Frame(0, 0, 1, Buffer.from(head))]),
);
const before = buffers();
const piece = http2Frame(0, 0, 1, Buffer.from(" "));
const ping = http2Frame(6, 0, 0, Buffer.from("received"));
socket.write(Buffer.concat([...Array.from({ length: pieces }, () => piece), ping]));
while (!received().includes("received")) await once(socket, "data");
process.send?.(buffers() - before, () => process.exit());
