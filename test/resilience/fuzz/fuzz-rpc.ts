import { randomUUID } from "node:crypto";
import type { ClientHttp2Session } from "node:http2";
import fc from "fast-check";
import { openSession } from "../../support/raw-http.ts";
import { startCanary } from "../support/canary.ts";
import { startInstance } from "../support/instance.ts";
import { Problems, type Report } from "../support/report.ts";
import { register } from "../support/users.ts";
import type { FuzzOptions } from "./fuzz-rest.ts";
import { breakFrames } from "./http2-frames.ts";
import { answerOf, serverFaults } from "./rpc-answer.ts";
import { type FuzzedCall, fuzzedCalls } from "./rpc-requests.ts";

const sessionsEach = 4;
/** Calls at once: fewer than the service has connections to the database, so that none waits for one on a slow machine. */
const clients = 12;
/** Any reset but REFUSED_STREAM (RFC 9113, 8.7), as for a client that resets too much, and our own CANCEL. */
const badReset = /^reset (?![78]$)/;
/** How many examples are generated at a time: that takes the event loop, and delays the measured times. */
const batch = 50;
/** One in so many is broken below the calls: frames of HTTP/2 that make no sense, on a connection of their own. */
const frameShare = 20;

/** Makes mutated calls of every method over every protocol, and checks the outcome of each. */
export async function fuzzRpc(options: FuzzOptions): Promise<Report> {
  const { databaseUrl, mutant, seed, count, slowMs, untilProblem } = options;
  const problems = new Problems();
  await using instance = await startInstance({ database: databaseUrl, mutant });
  const targets = Array.from({ length: 6 }, () => randomUUID());
  const actors = Array.from({ length: 12 }, () => randomUUID());
  const canaryUser = randomUUID();
  await register(instance.internalUrl, await instance.serviceToken(), [...targets, ...actors, canaryUser]);
  const serviceToken = await instance.serviceToken();
  const userTokens = await Promise.all(actors.map((actor) => instance.userToken(actor)));
  const metadata = {
    public: userTokens.map((token) => ({ authorization: `Bearer ${token}` })),
    internal: actors.map((actor) => ({ authorization: `Bearer ${serviceToken}`, "x-acting-user": actor })),
  };
  const canary = await startCanary(instance, canaryUser);
  const urls = { public: instance.publicUrl, internal: instance.internalUrl };
  const pools: Record<FuzzedCall["listener"], ClientHttp2Session[]> = { public: [], internal: [] };
  const sessionTo = (listener: FuzzedCall["listener"], turn: number) => {
    const pool = pools[listener];
    const at = turn % sessionsEach;
    const known = pool[at];
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const opened = openSession(urls[listener]);
    pool[at] = opened;
    return opened;
  };
  const cases = (function* () {
    const arbitrary = fuzzedCalls({ users: targets, metadata });
    for (let left = count, i = 0; left > 0; left -= batch, i++)
      yield* fc.sample(arbitrary, { seed: seed + i, numRuns: Math.min(left, batch) });
  })();
  const outcomes = new Map<string, number>();
  let sent = 0;

  async function client(turn: number): Promise<void> {
    for (const call of cases) {
      if (instance.ended() !== undefined || (untilProblem && problems.any())) break;
      sent++;
      if (sent % frameShare === 0) {
        await breakFrames(urls[call.listener], seed + sent);
        continue;
      }
      const { outcome, ms } = await answerOf(sessionTo(call.listener, turn), call);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      const shown = () =>
        `${JSON.stringify(call.headers)} ${Buffer.concat(call.chunks).toString("hex").slice(0, 400)}`;
      if (serverFaults.has(outcome) || /^HTTP 5(?!05)/.test(outcome) || badReset.test(outcome))
        problems.add(`came to ${outcome}`, shown());
      if (ms > slowMs) problems.add("a slow answer", `${Math.round(ms)} ms: ${shown()}`);
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, turn) => client(turn)));
  for (const session of [...pools.public, ...pools.internal]) session?.destroy();

  const { calls, failures, slowest } = await canary.stop();
  for (const failure of failures) problems.add("the canary failed", failure);
  problems.inspect(instance);
  const counted = [...outcomes].sort(([, a], [, b]) => b - a).map(([name, times]) => `${name}: ${times}`);
  return problems.report(
    [
      { name: "calls", value: sent },
      { name: "canary calls", value: calls },
      { name: "slowest of the canary, ms", value: slowest, atMost: slowMs },
    ],
    [`outcomes: ${counted.join(", ")}`],
  );
}
