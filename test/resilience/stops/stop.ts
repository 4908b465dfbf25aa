import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseUserId, type UserId } from "../../../src/domain/users.ts";
import { openDatabase } from "../../../src/store/database.ts";
import { canMakeCertificates, makeAuthority, type TestCertificate } from "../../support/certificates.ts";
import { startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import type { Figure } from "../support/report.ts";
import { dialects, type Write } from "./calls.ts";
import { openHttp1 } from "./connections.ts";
import { callSteadily, type Tally, type Target } from "./load.ts";

/** How a process is run and stopped. */
export interface StopOptions {
  /** Undefined for an embedded database. */
  readonly databaseUrl: string | undefined;
  readonly drainDelayMs: number;
  /** The certificate of the service and the authority that signed it; undefined for plaintext. */
  readonly tls: { readonly server: TestCertificate; readonly ca: string } | undefined;
  readonly mutant?: MutantName | undefined;
}

/** What clients saw, and what the process left. */
interface StopOutcome extends Tally {
  /** Acknowledged writes that the database does not have. */
  readonly missing: readonly Write[];
  readonly inFlightAtSignal: number;
  readonly exitCode: number | null;
  /** From the signal to the end of the process. */
  readonly endedAfterMs: number;
  /** Whether `/readyz` answered 503 before the process ended. */
  readonly wasUnready: boolean;
}

const clientsOfEach = 2;
const targetCount = 400;
/** Calls that are answered before the signal: a second of load. */
const callsBefore = 500;
/** How often a balancer probes, in milliseconds. */
const probeMs = 20;
const delayMs = 300;
const newId = () => parseUserId(randomUUID()) as UserId;

/** So many ways to stop a process: with and without TLS and a delay, in all combinations, on one database. */
export function waysToStop(stops: number, databaseUrl: string | undefined): StopOptions[] {
  const authority = canMakeCertificates ? makeAuthority("An authority") : undefined;
  const tls = authority && { server: authority.sign("server"), ca: authority.cert };
  return Array.from({ length: stops }, (_, stop) => ({
    databaseUrl,
    drainDelayMs: stop % 2 === 0 ? 0 : delayMs,
    tls: (stop >> 1) % 2 === 0 ? tls : undefined,
  }));
}

/** Starts the service as a process of its own, loads it with calls of every kind, and stops it during them. */
export async function stopUnderLoad(options: StopOptions): Promise<StopOutcome> {
  await using parts = new AsyncDisposableStack();
  const dataDir = mkdtempSync(join(tmpdir(), "privacy-control-"));
  parts.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  const owners = dialects.flatMap(() => Array.from({ length: clientsOfEach }, newId));
  const targets = Array.from({ length: targetCount }, newId);
  await withDatabase(options, dataDir, async (database) => {
    await database.migrate();
    await database.users.upsert([...owners, ...targets].map(newUser));
  });

  const instance = parts.use(
    await startInstance({
      database: options.databaseUrl ?? dataDir,
      environment: { DRAIN_DELAY_MS: String(options.drainDelayMs) },
      tls: options.tls,
      mutant: options.mutant,
    }),
  );
  const target: Target = {
    url: { public: instance.publicUrl, internal: instance.internalUrl },
    token: async (listener, user) =>
      `Bearer ${listener === "internal" ? instance.token : await instance.userToken(user)}`,
    ca: options.tls?.ca,
  };
  const tally: Tally = { sent: 0, answered: 0, refused: 0, lost: [], written: [] };
  let mayConnect = true;
  const balancer = untilNotReady(target).finally(() => {
    mayConnect = false;
  });
  const clients = owners.map((owner, index) => {
    const dialect = dialects[index % dialects.length] as (typeof dialects)[number];
    return callSteadily(dialect, owner, targets, target, () => mayConnect, tally);
  });
  while (tally.answered < callsBefore) await setTimeout(10);
  const inFlightAtSignal = tally.sent - tally.answered - tally.refused - tally.lost.length;
  const signalledAt = performance.now();
  const exitCode = await instance.stop();
  const endedAfterMs = Math.round(performance.now() - signalledAt);
  await Promise.all(clients);
  const wasUnready = await balancer;
  const missing = await withDatabase(options, dataDir, (database) => missingFrom(database, tally.written));
  return { ...tally, missing, inFlightAtSignal, exitCode, endedAfterMs, wasUnready };
}

/** What is promised of a process that is stopped under load. */
export function stopFigures(outcome: StopOutcome, { drainDelayMs }: StopOptions): Figure[] {
  const { sent, answered, refused, lost, written, missing, exitCode } = outcome;
  return [
    { name: "calls", value: sent },
    { name: "in flight at the signal", value: outcome.inFlightAtSignal },
    { name: "calls lost", value: lost.length, atMost: 0 },
    { name: "neither answered nor refused", value: sent - answered - refused, atMost: 0 },
    { name: "acknowledged writes", value: written.length, atLeast: 101 },
    { name: "acknowledged writes missing", value: missing.length, atMost: 0 },
    { name: "exit code", value: exitCode ?? Number.NaN, atLeast: 0, atMost: 0 },
    { name: "ended after, ms", value: outcome.endedAfterMs, atMost: 10_000 },
    ...(drainDelayMs === 0
      ? []
      : [{ name: "balancers saw it unready", value: Number(outcome.wasUnready), atLeast: 1 }]),
  ];
}

type OpenDatabase = Awaited<ReturnType<typeof openDatabase>>;

async function withDatabase<Result>(
  { databaseUrl }: StopOptions,
  dataDir: string,
  use: (database: OpenDatabase) => Promise<Result>,
): Promise<Result> {
  const database = await openDatabase({ url: databaseUrl, dataDir });
  try {
    return await use(database);
  } finally {
    await database.close();
  }
}

const newUser = (id: UserId) => ({
  id,
  userName: "someone",
  firstName: "",
  lastName: "",
  profilePictureUrls: [],
  isVerified: false,
});

/** Probes `/readyz` as a balancer does until it is not 200. Resolves to whether it was 503: the process may have ended. */
async function untilNotReady({ url, ca }: Target): Promise<boolean> {
  const connection = openHttp1(url.public, ca);
  const probe = { method: "GET", path: "/readyz", headers: {}, body: new Uint8Array() };
  let outcome = await connection.send(probe);
  while (outcome === "answered") {
    await setTimeout(probeMs);
    outcome = await connection.send(probe);
  }
  connection.close();
  return typeof outcome === "object" && outcome.lost === "status 503";
}

async function missingFrom({ follows }: OpenDatabase, written: readonly Write[]): Promise<Write[]> {
  const missing: Write[] = [];
  for (const write of written) {
    const { following, muting } = await follows.relationship(write.owner as UserId, write.target as UserId);
    if (!(write.kind === "mute" ? muting : following)) missing.push(write);
  }
  return missing;
}
