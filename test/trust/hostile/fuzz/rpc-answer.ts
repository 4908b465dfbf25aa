import { type ClientHttp2Session, constants, type IncomingHttpHeaders } from "node:http2";
import { Code } from "@connectrpc/connect";
import type { FuzzedCall } from "./rpc-requests.ts";

/** What a call came to: the name of a code of gRPC, `HTTP 415`, or `reset 8`. */
export type Outcome = string;

/** Outcomes that are nobody's fault but the service's. */
export const serverFaults: ReadonlySet<Outcome> = new Set([
  "Internal",
  "Unknown",
  "DataLoss",
  "Unavailable",
  "none",
]);

/** How long an answer without end is listened to, in milliseconds. */
const listenMs = 20;
/** The longest that anyone waits for an answer, in milliseconds. */
const longMs = 20_000;

/** Makes a call and tells what it came to. */
export async function outcomeOf(session: ClientHttp2Session, call: FuzzedCall): Promise<Outcome> {
  const stream = session.request({ ":method": "POST", ...call.headers }, { endStream: false });
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  let gaveUp = false;
  const body: Buffer[] = [];
  stream.on("error", () => {});
  stream.on("response", (received) => {
    headers = received;
    if (!call.streams || received["grpc-status"] !== undefined) return;
    setTimeout(() => {
      gaveUp = true;
      stream.close(constants.NGHTTP2_CANCEL);
    }, listenMs);
  });
  stream.on("trailers", (received) => {
    trailers = received;
  });
  stream.on("data", (chunk: Buffer) => body.push(chunk));
  for (const chunk of call.chunks) stream.write(chunk);
  stream.end();
  const giveUp = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), longMs);
  await new Promise((resolve) => stream.once("close", resolve));
  clearTimeout(giveUp);

  const status = trailers["grpc-status"] ?? headers["grpc-status"];
  if (status !== undefined) return nameOf(Number(status));
  const http = Number(headers[":status"] ?? 0);
  const text = Buffer.concat(body).toString("latin1");
  const inBody = /grpc-status: ?(\d+)/.exec(text)?.[1];
  if (inBody !== undefined) return nameOf(Number(inBody));
  // Connect's error, as the body or in the last envelope of a stream.
  const code = /\{"code":"(\w+)"/.exec(text)?.[1];
  if (code !== undefined) return pascal(code);
  if (http >= 400) return `HTTP ${http}`;
  if (gaveUp || http === 200) return "OK";
  return stream.rstCode === 0 ? "none" : `reset ${stream.rstCode}`;
}

const nameOf = (code: number) => (code === 0 ? "OK" : (Code[code] ?? `code ${code}`));
const pascal = (code: string) => code.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
