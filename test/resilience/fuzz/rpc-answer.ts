import { type ClientHttp2Session, constants } from "node:http2";
import { Code } from "@connectrpc/connect";
import { type Answer as Exchanged, exchange } from "../../support/raw-http.ts";
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
  let gaveUp = false;
  const answer = await exchange(session, call, (stream) => {
    stream.on("response", (received) => {
      if (!call.streams || received["grpc-status"] !== undefined) return;
      setTimeout(() => {
        gaveUp = true;
        stream.close(constants.NGHTTP2_CANCEL);
      }, listenMs);
    });
    stream.on("end", () => {
      answeredAt = performance.now();
    });
    const giveUp = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), longMs);
    stream.once("close", () => clearTimeout(giveUp));
  });
  const ms = (answeredAt ?? performance.now()) - startedAt;
  const without = answer.reset === 0 ? "none" : `reset ${answer.reset}`;
  return { outcome: outcomeOf(answer) ?? (gaveUp ? "OK" : without), ms };
}

/** What an answer says; undefined when it says nothing. */
function outcomeOf(answer: Exchanged): Outcome | undefined {
  const { headers } = answer;
  const body = Buffer.from(answer.body, "hex").toString("latin1");
  const status = answer.trailers["grpc-status"] ?? headers["grpc-status"];
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
