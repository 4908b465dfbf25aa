import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serviceToken, userToken } from "../../../src/development/mint.ts";
import { parseUserId, type UserId } from "../../../src/domain/ids.ts";
import { openDatabase } from "../../../src/store/database.ts";
import type { TestCertificate } from "../../support/certificates.ts";
import { type RunningScript, runFile } from "../../support/process.ts";
import { dialects, type Write } from "./calls.ts";
import { openHttp1 } from "./connections.ts";
import { runLane, type Tally, type Target } from "./load.ts";

/** Under what a process is stopped. */
export interface StopOptions {
  /** Undefined for an embedded database. */
  readonly databaseUrl: string | undefined;
  readonly drainDelayMs: number;
  /** The certificate of the service and who signed it; undefined for plaintext. */
  readonly tls: { readonly server: TestCertificate; readonly ca: string } | undefined;
  /** `exit`: the service ends at once when it is told to stop. */
  readonly mutant?: "exit" | undefined;
}

/** What was seen of it. */
export interface StopOutcome extends Tally {
  /** Acknowledged writes that the database does not know. */
  readonly missing: readonly Write[];
  readonly inFlightAtSignal: number;
  readonly exitCode: number | null;
  /** From the signal to the end of the process. */
  readonly endedAfterMs: number;
  /** Whether `/readyz` said that the service stops. */
  readonly wasRetired: boolean;
}

const lanesOfEach = 2;
const targetCount = 400;
const minting = {
  secret: "the secret that signs tokens in tests",
  issuer: "test",
  audience: "users",
  serviceAudience: "services",
  hours: 1,
};
/** Calls that are answered before the signal: a second of load. */
const callsBefore = 500;
/** A balancer looks as often, in milliseconds. */
const lookMs = 20;
const newId = () => parseUserId(randomUUID()) as UserId;

/** Starts the service as a process of its own, loads it with calls of every kind, and stops it amid them. */
export async function stopUnderLoad(options: StopOptions): Promise<StopOutcome> {
  await using opened = new AsyncDisposableStack();
  const dataDir = mkdtempSync(join(tmpdir(), "privacy-control-"));
  opened.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  const owners = dialects.flatMap(() => Array.from({ length: lanesOfEach }, newId));
  const targets = Array.from({ length: targetCount }, newId);
  await withDatabase(options, dataDir, async (database) => {
    await database.migrate();
    await database.users.upsert([...owners, ...targets].map(newUser));
  });

  const seam = new URL("./exit-at-once.ts", import.meta.url).href;
  const nodeOptions = options.mutant === "exit" ? ["--import", seam] : [];
  const service = runFile("src/main.ts", environmentOf(options, dataDir), nodeOptions);
  opened.defer(async () => void (await service.stop("SIGKILL")));
  const target = await targetOf(service, options);
  const tally: Tally = { sent: 0, answered: 0, refused: 0, lost: [], written: [] };
  let isRetired = false;
  const balancer = watchReadiness(target, () => {
    isRetired = true;
  });
  const lanes = owners.map((owner, index) => {
    const dialect = dialects[index % dialects.length] as (typeof dialects)[number];
    return runLane(dialect, owner, targets, target, () => !isRetired, tally);
  });
  while (tally.answered < callsBefore) await new Promise((resolve) => setTimeout(resolve, 10));
  const inFlightAtSignal = tally.sent - tally.answered - tally.refused - tally.lost.length;
  const signalledAt = performance.now();
  service.child.kill("SIGTERM");
  const exitCode = await service.exited;
  const endedAfterMs = Math.round(performance.now() - signalledAt);
  await Promise.all(lanes);
  const wasRetired = await balancer;
  const missing = await withDatabase(options, dataDir, (database) => missingFrom(database, tally.written));
  return { ...tally, missing, inFlightAtSignal, exitCode, endedAfterMs, wasRetired };
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

function environmentOf({ databaseUrl, drainDelayMs, tls }: StopOptions, dataDir: string) {
  return {
    DATA_DIR: dataDir,
    HTTP_PORT: "0",
    GRPC_PORT: "0",
    ADMIN_PORT: "0",
    RATE_WRITES_PER_MINUTE: "0",
    // A call that is refused because the machine is slow would count as lost.
    MAX_CALLS_IN_FLIGHT: "0",
    MAX_SERVICE_CALLS_IN_FLIGHT: "0",
    MAX_CALLS_IN_FLIGHT_PER_USER: "0",
    JWT_SECRET: minting.secret,
    JWT_ISSUER: minting.issuer,
    JWT_AUDIENCE: minting.audience,
    JWT_SERVICE_AUDIENCE: minting.serviceAudience,
    DRAIN_DELAY_MS: String(drainDelayMs),
    ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
    ...(tls === undefined ? {} : { TLS_CERT_FILE: tls.server.certFile, TLS_KEY_FILE: tls.server.keyFile }),
  };
}

async function targetOf(service: RunningScript, { tls }: StopOptions): Promise<Target> {
  const [line = "{}"] = /\{.*"listening".*\}/.exec(await service.sees(/"listening"/)) ?? [];
  const { publicUrl, internalUrl } = JSON.parse(line);
  const forServices = `Bearer ${await serviceToken("load", "access.read graph.read graph.write", minting)}`;
  return {
    url: { public: publicUrl, internal: internalUrl },
    token: async (face, user) =>
      face === "internal" ? forServices : `Bearer ${await userToken(user as UserId, minting)}`,
    ca: tls?.ca,
  };
}

/** Looks at `/readyz` as a balancer does until it says no. Resolves to whether it did: it may be gone instead. */
async function watchReadiness({ url, ca }: Target, retired: () => void): Promise<boolean> {
  const connection = openHttp1(url.public, ca);
  const look = { method: "GET", path: "/readyz", headers: {}, body: new Uint8Array() };
  let outcome = await connection.send(look);
  while (outcome === "answered") {
    await new Promise((resolve) => setTimeout(resolve, lookMs));
    outcome = await connection.send(look);
  }
  retired();
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
