import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { serviceToken, userToken } from "../../../src/development/mint.ts";
import type { UserId } from "../../../src/domain/ids.ts";
import { freePort } from "../../support/throwaway-server.ts";
import type { Mutant } from "./mutants.ts";
import { commandIn, type Namespace } from "./namespace.ts";
import type { Target } from "./pair-client.ts";
import type { MutantName } from "./source-mutants.ts";

const jwt = { secret: "the secret that signs tokens in fault runs", issuer: "trust" };
const minting = { ...jwt, audience: "users", serviceAudience: "services", hours: 1 };
const scopes = "access.read graph.read graph.write users.act";

const unlimited = {
  RATE_WRITES_PER_MINUTE: "0",
  MAX_CALLS_IN_FLIGHT: "0",
  MAX_SERVICE_CALLS_IN_FLIGHT: "0",
  MAX_CALLS_IN_FLIGHT_PER_USER: "0",
};

const pollMs = 10;
const readyMs = 60_000;

/** An instance of the service: a process of its own, on ports that it keeps when it is started again. */
export interface Instance extends Target {
  readonly publicUrl: string;
  userToken(id: string): Promise<string>;
  /** Whether a probe (`/healthz`, `/readyz`) is answered well. */
  isGood(probe: string): Promise<boolean>;
  untilReady(): Promise<void>;
  /** What `nodeOptions` loaded into the process is asked, and answers. */
  ask(): Promise<unknown>;
  /** Ends the process at once. */
  kill(): Promise<void>;
  /** Starts the process again, and returns after how many milliseconds it was ready. */
  start(): Promise<number>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface InstanceOptions {
  /** A `postgres://` URL, or the directory of an embedded database. */
  readonly database: string;
  /** Instead of the service as it is. */
  readonly mutant?: Mutant | undefined;
  /** For Node itself. */
  readonly nodeOptions?: readonly string[];
  /** Whether callers meet the default limits. Most loads are a flood themselves, and no run is about a slow machine. */
  readonly limitsCallers?: boolean;
  /** In place of the default, for callers who meet limits. */
  readonly maxInFlightPerUser?: number;
  /** What is taken out of the source text. */
  readonly sourceMutant?: MutantName | undefined;
  /** Where it runs, and where it listens then. */
  readonly namespace?: Pick<Namespace, "name" | "address"> | undefined;
}

/** Starts an instance and waits until it is ready. */
export async function startInstance({
  database,
  mutant,
  nodeOptions = [],
  limitsCallers = false,
  maxInFlightPerUser,
  sourceMutant,
  namespace,
}: InstanceOptions): Promise<Instance> {
  const [httpPort, grpcPort] = [await freePort(), await freePort()];
  const host = namespace?.address ?? "127.0.0.1";
  const publicUrl = `http://${host}:${httpPort}`;
  const embedded = !database.startsWith("postgres:");
  const entry = mutant === undefined ? "../../../src/main.ts" : "./serve-mutant.ts";
  const args = [
    ...nodeOptions,
    ...(sourceMutant === undefined ? [] : ["--import", new URL("./mutate.ts", import.meta.url).href]),
    fileURLToPath(new URL(entry, import.meta.url)),
    ...(mutant !== undefined ? [mutant] : []),
  ];
  const env = {
    PATH: process.env.PATH,
    HOST: host,
    HTTP_PORT: String(httpPort),
    GRPC_PORT: String(grpcPort),
    ADMIN_PORT: "0",
    ...(limitsCallers ? {} : unlimited),
    ...(maxInFlightPerUser === undefined ? {} : { MAX_CALLS_IN_FLIGHT_PER_USER: String(maxInFlightPerUser) }),
    LOG_LEVEL: "silent",
    ...(sourceMutant === undefined ? {} : { MUTANT: sourceMutant }),
    JWT_SECRET: jwt.secret,
    JWT_ISSUER: jwt.issuer,
    JWT_AUDIENCE: minting.audience,
    JWT_SERVICE_AUDIENCE: minting.serviceAudience,
    ...(embedded ? { DATA_DIR: database } : { DATABASE_URL: database }),
  };
  let child: ChildProcess;

  const isGood = async (probe: string) => {
    const answer = await fetch(publicUrl + probe).catch(() => undefined);
    await answer?.body?.cancel();
    return answer?.status === 200;
  };
  const untilReady = async () => {
    const begin = performance.now();
    while (!(await isGood("/readyz"))) {
      if (child.exitCode !== null) throw new Error(`an instance ended with ${child.exitCode}`);
      if (performance.now() - begin > readyMs) throw new Error("an instance did not become ready");
      await setTimeout(pollMs);
    }
  };
  const start = async () => {
    const begin = performance.now();
    const [command, ...prefix] = [...(namespace ? commandIn(namespace) : []), process.execPath] as [string];
    child = spawn(command, [...prefix, ...args], { env, stdio: ["ignore", "ignore", "inherit", "ipc"] });
    await untilReady();
    return performance.now() - begin;
  };
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  };
  await start();
  return {
    url: `http://${host}:${grpcPort}`,
    publicUrl,
    token: await serviceToken("trust", scopes, minting),
    userToken: (id) => userToken(id as UserId, minting),
    isGood,
    untilReady,
    async ask() {
      const answer = once(child, "message");
      child.send("");
      return (await answer)[0];
    },
    kill,
    start,
    [Symbol.asyncDispose]: kill,
  };
}
