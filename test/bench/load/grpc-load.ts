import { readFileSync } from "node:fs";
import { requestHead } from "../../support/frames.ts";
import { type GrpcAnswer, GrpcSession } from "../../support/grpc-session.ts";
import { type Exchange, unpackExchanges } from "./exchanges.ts";
import type { GrpcJob, LoadResult } from "./job.ts";

/** How long calls may take to finish when the time is over. */
const drainMs = 5_000;
const maxSamples = 2_000_000;

/** Makes the calls of a job, as many at once as it says, for as long as it says, and checks every answer. */
export async function runGrpcLoad(job: GrpcJob): Promise<LoadResult> {
  const url = new URL(job.url);
  const exchanges = unpackExchanges(readFileSync(job.callsFile));
  const head = requestHead([
    [":path", job.path],
    [":authority", url.host],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...Object.entries(job.headers),
  ]);
  const latencies = new Float64Array(maxSamples);
  let total = 0;
  let measured = 0;
  let wrong = 0;
  let example: string | undefined;
  let next = 0;
  const { promise: idle, resolve: onIdle } = Promise.withResolvers<void>();

  const startedAt = performance.now();
  const from = startedAt + job.rampMs;
  let until = from + job.ms;
  const cpuAtStart = process.cpuUsage();
  const sessions: GrpcSession[] = [];
  const onAnswer = (session: GrpcSession, exchange: Exchange, answer: GrpcAnswer) => {
    const now = performance.now();
    const problem = problemOf(exchange, answer);
    total += 1;
    if (problem !== undefined) {
      wrong += 1;
      example ??= problem;
      // A server that refuses everything at once would be asked for ever.
      if (wrong > 1_000) until = now;
    }
    if (now >= from && now <= until) latencies[measured++ % maxSamples] = now - answer.sentAt;
    start(session);
  };
  const start = (session: GrpcSession) => {
    const isOver = performance.now() >= until || (job.once && next >= exchanges.length);
    const exchange = exchanges[next++ % exchanges.length];
    if (!isOver && exchange !== undefined)
      session.call(exchange, (answer) => onAnswer(session, exchange, answer));
    else if (sessions.every(({ inFlight }) => inFlight === 0)) onIdle();
  };
  for (let index = 0; index < job.sessions; index++) {
    sessions.push(new GrpcSession(url, head));
  }
  for (const session of sessions) for (let open = 0; open < job.streams; open++) start(session);

  const timer = setTimeout(
    () => {
      example ??= "calls were not answered at all";
      wrong += sessions.reduce((sum, { inFlight }) => sum + inFlight, 0);
      onIdle();
    },
    job.rampMs + job.ms + drainMs,
  );
  await idle;
  clearTimeout(timer);
  const endedAt = performance.now();
  for (const session of sessions) session.close();
  const { user, system } = process.cpuUsage(cpuAtStart);
  const sorted = latencies.subarray(0, Math.min(measured, maxSamples)).sort();
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  return {
    total,
    rate: measured / ((Math.min(endedAt, until) - from) / 1_000),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    wrong,
    example,
    generatorShare: (user + system) / 1_000 / (endedAt - startedAt),
  };
}

const prefixBytes = 5;
/** The first byte of the field `consistency_token`, which is the last one of an answer that has it. */
const tokenTags = [0x12, 0x1a];

/** Whether an answer has a message, before a consistency token, which no two answers need have in common. */
function isRight(reply: Buffer, expected: Buffer): boolean {
  if (expected.equals(reply)) return true;
  return (
    expected.subarray(prefixBytes).equals(reply.subarray(prefixBytes, expected.length)) &&
    tokenTags.includes(reply[expected.length] ?? 0)
  );
}

/** What is wrong with an answer. One has a message if and only if the call went well. */
function problemOf({ expected }: Exchange, { reply, failure }: GrpcAnswer): string | undefined {
  if (failure !== undefined) return failure;
  if (reply === undefined) return "the call failed";
  if (expected === undefined || isRight(reply, expected)) return undefined;
  return `${reply.subarray(0, 40).toString("hex")} instead of ${expected.subarray(0, 40).toString("hex")}`;
}

if (import.meta.main) {
  process.once("message", async (job) => {
    process.send?.(await runGrpcLoad(job as GrpcJob));
    process.disconnect?.();
  });
}
