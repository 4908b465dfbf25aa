import { randomUUID } from "node:crypto";
import { gzipSync } from "node:zlib";
import { lengthPrefixed } from "../../support/frames.ts";
import { exchange, openSession, trailersOf } from "../../support/raw-http.ts";
import { openAsking } from "../support/ask.ts";
import { startCanary } from "../support/canary.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { Problems, type Report } from "../support/report.ts";
import { register } from "../support/users.ts";
import { type Attacker, attack } from "./attacker.ts";
import { floodKinds } from "./fast.ts";
import { slowKinds } from "./slow.ts";

interface FloodRunOptions {
  readonly databaseUrl: string | undefined;
  readonly mutant?: MutantName | undefined;
  /** The part of the full number of slow connections. */
  readonly scale: number;
  /**
   * How many times the service does 40 calls at once before memory is measured: until it has not grown by more than a
   * megabyte in `steady` rounds, and no more than `most`. V8 lets the heap grow to a limit before it collects the old
   * part of it for the first time: the memory that ordinary work takes shows only then.
   */
  readonly warmUp: { readonly steady: number; readonly most: number };
  /** Connections of every flood to each listener. */
  readonly flooders: number;
  /** Whether the floods are tried too, after the slow connections. */
  readonly fast: boolean;
  /** The bound of the canary's 99th percentile in milliseconds, for a machine without other work. */
  readonly p99Ms: number;
  /** Within which every hostile connection must be closed, in milliseconds. */
  readonly closeMs: number;
}

/** How much memory the service may take more than before, in megabytes. */
const mostMegabytes = 100;
/** Calls at once before memory is measured: no more than the database has answers for in time. */
const warmUpWidth = 40;
/** Connections that are opened at a time. */
const wave = 200;

/** Holds thousands of connections to both listeners, then floods them in every known way. */
export async function floodRun(options: FloodRunOptions): Promise<Report> {
  const { databaseUrl, mutant, scale, flooders, fast, p99Ms, closeMs } = options;
  const problems = new Problems();
  await using instance = await startInstance({
    database: databaseUrl,
    mutant,
    // So that idle connections too are closed within the time of the run.
    environment: { KEEP_ALIVE_SECONDS: "5" },
  });
  const user = randomUUID();
  await register(instance.internalUrl, await instance.serviceToken(), [user]);
  const { before, rounds } = await warmUp(instance, user, options.warmUp);
  let most = before;
  const sampler = setInterval(() => {
    if (instance.ended() === undefined) most = Math.max(most, instance.memory());
  }, 100);
  const canary = await startCanary(instance, user);
  const ports = [instance.publicUrl, instance.internalUrl].map((url) => Number(new URL(url).port));
  const tokens = [await instance.userToken(user), await instance.serviceToken()];

  const slow: (() => Promise<Attacker>)[] = ports.flatMap((port, i) =>
    slowKinds(tokens[i] ?? "", user).flatMap(({ kind, share, act }) =>
      Array.from({ length: Math.max(1, Math.round(share * scale)) }, () => () => attack(kind, port, act)),
    ),
  );
  const longest = new Map<string, number>();
  let flooding = 0;
  await endure(slow, closeMs, longest, problems);
  const afterSlow = most;
  if (fast) {
    const kinds = ports.map((port, i) => ({ port, floods: floodKinds(tokens[i] ?? "", user) }));
    for (const k of floodKinds("", "").keys()) {
      const flood = kinds.flatMap(({ port, floods }) =>
        floods
          .slice(k, k + 1)
          .flatMap(({ kind, act }) => Array.from({ length: flooders }, () => () => attack(kind, port, act))),
      );
      await endure(flood, closeMs, longest, problems);
      flooding += flood.length;
    }
    await bombs(instance, flooders, tokens, problems);
  }

  const { calls, failures, p99, slowest } = await canary.stop();
  clearInterval(sampler);
  for (const failure of failures) problems.add("the canary failed", failure);
  problems.inspect(instance);
  return problems.report([
    { name: "slow connections", value: slow.length },
    { name: "flooding connections", value: flooding },
    ...[...longest].map(([kind, ms]) => ({ name: `closed after, ms: ${kind}`, value: ms, atMost: closeMs })),
    { name: "calls before", value: rounds * warmUpWidth },
    { name: "memory before, MB", value: before },
    { name: "added by slow connections, MB", value: afterSlow - before },
    { name: "memory added, MB", value: most - before, atMost: mostMegabytes },
    { name: "canary calls", value: calls },
    { name: "canary, 99th percentile, ms", value: p99, atMost: p99Ms },
    { name: "canary, slowest, ms", value: slowest },
  ]);
}

/** Opens hostile connections, waits until all are closed or should be, and records how long they lasted. */
async function endure(
  openings: readonly (() => Promise<Attacker>)[],
  closeMs: number,
  longest: Map<string, number>,
  problems: Problems,
): Promise<void> {
  const attackers: Attacker[] = [];
  for (let at = 0; at < openings.length; at += wave)
    attackers.push(...(await Promise.all(openings.slice(at, at + wave).map((open) => open()))));
  const isOver = () =>
    attackers.every(
      ({ openedAt, closedAt }) => closedAt !== undefined || performance.now() - openedAt > closeMs,
    );
  while (!isOver()) await new Promise((resolve) => setTimeout(resolve, 50));
  for (const { kind, socket, openedAt, closedAt } of attackers) {
    const ms = (closedAt ?? performance.now()) - openedAt;
    longest.set(kind, Math.max(longest.get(kind) ?? 0, ms));
    if (closedAt === undefined) problems.add("a connection that was not closed", kind);
    socket.destroy();
  }
}

/** Sends small messages that are large when they are inflated, with valid tokens. */
async function bombs(
  instance: Instance,
  count: number,
  tokens: readonly string[],
  problems: Problems,
): Promise<void> {
  const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024));
  const path = "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings";
  for (const [url, token, wanted] of [
    [instance.publicUrl, tokens[0], "12"],
    [instance.internalUrl, tokens[1], "8"],
  ] as const) {
    const headers = {
      ":path": path,
      "content-type": "application/grpc",
      "grpc-encoding": "gzip",
      authorization: `Bearer ${token}`,
      "x-acting-user": randomUUID(),
    };
    const session = openSession(url);
    const answers = Array.from({ length: count }, () =>
      exchange(session, { headers, chunks: [lengthPrefixed(bomb, { flags: 1 })] }),
    );
    for (const answer of await Promise.all(answers)) {
      const status = trailersOf(answer)["grpc-status"];
      if (status !== wanted) problems.add("a bomb", `came to ${status}`);
    }
    session.destroy();
  }
}

/** Has the service work hard until that takes no more memory; resolves to the most that it took, and the rounds. */
async function warmUp(
  instance: Instance,
  user: string,
  { steady, most }: FloodRunOptions["warmUp"],
): Promise<{ before: number; rounds: number }> {
  using ask = openAsking(instance);
  const [userToken, serviceToken] = [await instance.userToken(user), await instance.serviceToken()];
  let before = 0;
  let grownIn = 0;
  let round = 0;
  for (; round - grownIn < steady && round < most; round++) {
    const calls = Array.from({ length: warmUpWidth / 2 }, () => [
      ask.rest(`Bearer ${userToken}`),
      ask.internal(`Bearer ${serviceToken}`, user),
    ]);
    await Promise.all(calls.flat());
    const memory = instance.memory();
    if (memory > before + 1) grownIn = round;
    before = Math.max(before, memory);
  }
  return { before, rounds: round };
}
