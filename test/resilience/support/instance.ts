import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get as getHttp } from "node:http";
import { get as getHttps } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { serviceToken, userToken } from "../../../src/development/token-issuer.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { TestCertificate } from "../../support/certificates.ts";
import { freePort } from "../../support/throwaway-server.ts";
import { type MutantName, mutantOf } from "./mutants.ts";
import { commandIn, type Namespace } from "./namespace.ts";
import type { Target } from "./pair-client.ts";

/** Signs the tokens that an instance accepts, unless its environment says otherwise. */
export const minting = {
  // Long enough for every HMAC, so that only the list of algorithms refuses HS512.
  secret: "the secret that signs tokens in resilience runs, of sixty-four bytes and more",
  issuer: "test",
  audience: "users",
  serviceAudience: "services",
  hours: 24,
};

const allScopes = "access.explain access.read graph.read graph.write users.act";

/** Most loads are a flood themselves, and no run is about a slow machine. */
const withoutLimits = {
  RATE_WRITES_PER_MINUTE: "0",
  RATE_FAILED_TOKENS_PER_MINUTE: "0",
  MAX_CALLS_IN_FLIGHT: "0",
  MAX_SERVICE_CALLS_IN_FLIGHT: "0",
  MAX_CALLS_IN_FLIGHT_PER_USER: "0",
};

const pollMs = 10;
const readyMs = 60_000;

/** The service in a process of its own, on ports that it keeps when it is started again. */
export interface Instance extends Target, AsyncDisposable {
  readonly publicUrl: string;
  readonly internalUrl: string;
  readonly adminUrl: string;
  /** The token of a service with all scopes. */
  readonly token: string;
  userToken(id: string): Promise<string>;
  serviceToken(scope?: string): Promise<string>;
  /** Whether a probe (`/healthz`, `/readyz`) is answered with 200. */
  isGood(probe: string): Promise<boolean>;
  untilReady(): Promise<void>;
  /** How the process ended; undefined while it runs. */
  ended(): string | undefined;
  /** What it has logged as an error, and written to its standard error. */
  readonly faults: readonly string[];
  /** Resident memory, in megabytes. */
  memory(): number;
  /** Sends a message to what `preload` loaded into the process, and resolves to the answer. */
  ask(message: unknown): Promise<unknown>;
  /** Ends the process at once. */
  kill(): Promise<void>;
  /** Stops the process in the regular way; resolves to its exit code. */
  stop(): Promise<number | null>;
  /** Starts the process again, and returns after how many milliseconds it was ready. */
  start(): Promise<number>;
}

interface InstanceOptions {
  /** A `postgres://` URL, or the directory of an embedded database; by default one of its own. */
  readonly database?: string | undefined;
  readonly mutant?: MutantName | undefined;
  readonly environment?: Readonly<Record<string, string>>;
  /** Whether callers meet the default limits. */
  readonly limitsCallers?: boolean;
  /** For Node itself. */
  readonly nodeOptions?: readonly string[];
  /** A module of this folder that is loaded into the process before the service. */
  readonly preload?: string;
  readonly tls?: { readonly server: TestCertificate; readonly ca: string } | undefined;
  /** Where it runs and listens, instead of on the loopback interface. */
  readonly namespace?: Pick<Namespace, "name" | "address"> | undefined;
  /** Whether the process has a session of its own, by which Linux shares out processor time. */
  readonly detached?: boolean;
}

/** Starts an instance and waits until it is ready. */
export async function startInstance(options: InstanceOptions = {}): Promise<Instance> {
  const { mutant, environment = {}, limitsCallers = false, preload, tls, namespace } = options;
  const ownDirectory = options.database === undefined;
  const database = options.database ?? mkdtempSync(join(tmpdir(), "privacy-control-"));
  const ports = [await freePort(), await freePort(), await freePort()] as const;
  const host = namespace?.address ?? "127.0.0.1";
  const [publicUrl = "", internalUrl = "", adminUrl = ""] = ports.map(
    (port, i) => `http${tls !== undefined && i < 2 ? "s" : ""}://${host}:${port}`,
  );
  const loaded = (name: string) => ["--import", new URL(name, import.meta.url).href];
  const args = [
    ...(options.nodeOptions ?? []),
    ...(mutant === undefined ? [] : loaded("inject-mutant.ts")),
    ...(preload === undefined ? [] : loaded(preload)),
    "src/main.ts",
  ];
  const env = {
    PATH: process.env.PATH,
    HOST: host,
    HTTP_PORT: String(ports[0]),
    GRPC_PORT: String(ports[1]),
    ADMIN_HOST: host,
    ADMIN_PORT: String(ports[2]),
    ...(limitsCallers ? {} : withoutLimits),
    LOG_LEVEL: "error",
    ...("JWKS_URL" in environment ? {} : { JWT_SECRET: minting.secret }),
    JWT_ISSUER: minting.issuer,
    JWT_AUDIENCE: minting.audience,
    JWT_SERVICE_AUDIENCE: minting.serviceAudience,
    ...(database.startsWith("postgres:") ? { DATABASE_URL: database } : { DATA_DIR: database }),
    ...(tls && { TLS_CERT_FILE: tls.server.certFile, TLS_KEY_FILE: tls.server.keyFile }),
    ...environment,
    ...(mutant === undefined ? {} : { MUTANT: mutant, ...mutantOf(mutant).environment }),
  };
  const faults: string[] = [];
  let child: ChildProcess;
  let exited: Promise<number | null>;
  let ended: string | undefined;

  const isGood = (probe: string) =>
    new Promise<boolean>((resolve) => {
      const get = tls === undefined ? getHttp : getHttps;
      const request = get(publicUrl + probe, tls === undefined ? {} : { ca: tls.ca }, (response) => {
        response.resume();
        response.on("error", () => resolve(false));
        response.on("end", () => resolve(response.statusCode === 200));
      });
      request.on("error", () => resolve(false));
    });
  const untilReady = async () => {
    const begin = performance.now();
    while (!(await isGood("/readyz"))) {
      if (ended !== undefined) throw new Error(`an instance ${ended}`);
      if (performance.now() - begin > readyMs) throw new Error("an instance did not become ready");
      await setTimeout(pollMs);
    }
  };
  const start = async () => {
    const begin = performance.now();
    const [command, ...prefix] = [...(namespace ? commandIn(namespace) : []), process.execPath] as [string];
    child = spawn(command, [...prefix, ...args], {
      env,
      detached: options.detached ?? false,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    ended = undefined;
    exited = once(child, "exit").then(([code, signal]) => {
      ended = `ended with ${signal ?? code}: ${faults.at(-1) ?? "it wrote nothing"}`;
      return code;
    });
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk: Buffer) => {
        for (const line of chunk.toString().split("\n"))
          if (stream === child.stderr ? line !== "" : line.includes('"level":')) faults.push(line);
      });
    await untilReady();
    return performance.now() - begin;
  };
  const kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  await start();
  return {
    publicUrl,
    internalUrl,
    adminUrl,
    token: await serviceToken("tests", allScopes, minting),
    userToken: (id) => userToken(id as UserId, minting),
    serviceToken: (scope = allScopes) => serviceToken("tests", scope, minting),
    isGood,
    untilReady,
    ended: () => ended,
    faults,
    memory() {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
    },
    async ask(message) {
      const answer = once(child, "message");
      child.send(message as string);
      return (await answer)[0];
    },
    kill,
    async stop() {
      child.kill("SIGTERM");
      return exited;
    },
    start,
    async [Symbol.asyncDispose]() {
      await kill();
      if (ownDirectory) rmSync(database, { recursive: true, force: true });
    },
  };
}
