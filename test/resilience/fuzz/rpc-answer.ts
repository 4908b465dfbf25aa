import { type ClientHttp2Session, constants, type IncomingHttpHeaders } from "node:http2";
import { Code } from "@connectrpc/connect";
import type { FuzzedCall } from "./rpc-requests.ts";

/** What a call came to: the name of a code of gRPC, `HTTP 415`, or `reset 8`. */
export type Outcome = string;

/** Outcomes that are the service's own fault. */
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

/** What a call came to, and how many milliseconds it was until its answer was complete. */
interface Answer {
  readonly outcome: Outcome;
  readonly ms: number;
}

/** Makes a call and waits until its stream is closed, which may be later than its answer. */
export async function answerOf(session: ClientHttp2Session, call: FuzzedCall): Promise<Answer> {
  const startedAt = performance.now();
  let answeredAt: number | undefined;
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
  stream.on("end", () => {
    answeredAt = performance.now();
  });
  for (const chunk of call.chunks) stream.write(chunk);
  stream.end();
  const giveUp = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), longMs);
  await new Promise((resolve) => stream.once("close", resolve));
  clearTimeout(giveUp);
  const ms = (answeredAt ?? performance.now()) - startedAt;
  const told = outcomeOf(headers, trailers, Buffer.concat(body).toString("latin1"));
  const untold = stream.rstCode === 0 ? "none" : `reset ${stream.rstCode}`;
  return { outcome: told ?? (gaveUp ? "OK" : untold), ms };
}

/** What an answer says; undefined when it says nothing. */
function outcomeOf(
  headers: IncomingHttpHeaders,
  trailers: IncomingHttpHeaders,
  body: string,
): Outcome | undefined {
  const status = trailers["grpc-status"] ?? headers["grpc-status"];
  if (status !== undefined) return nameOf(Number(status));
  const inBody = /grpc-status: ?(\d+)/.exec(body)?.[1];
  if (inBody !== undefined) return nameOf(Number(inBody));
  // Connect's error, as the body or in the last envelope of a stream.
  const code = /\{"code":"(\w+)"/.exec(body)?.[1];
  if (code !== undefined) return pascal(code);
  const http = Number(headers[":status"] ?? 0);
  if (http >= 400) return `HTTP ${http}`;
  return http === 200 ? "OK" : undefined;
}

const nameOf = (code: number) => (code === 0 ? "OK" : (Code[code] ?? `code ${code}`));
const pascal = (code: string) => code.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
