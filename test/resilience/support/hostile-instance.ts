import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serviceToken, userToken } from "../../../src/development/mint.ts";
import type { UserId } from "../../../src/domain/ids.ts";
import type { MutantName } from "./source-mutants.ts";

/** Signs the tokens that an instance accepts, unless its environment says otherwise. */
export const minting = {
  // Long enough for every HMAC, so that only the list of algorithms refuses HS512.
  secret: "the secret that signs tokens in hostile runs, of sixty-four bytes and more",
  issuer: "test",
  audience: "users",
  serviceAudience: "services",
  hours: 24,
};

const allScopes = "access.read graph.read graph.write users.act";

/** The service in a process of its own. */
export interface Instance extends AsyncDisposable {
  readonly publicUrl: string;
  readonly internalUrl: string;
  /** How the process ended by itself, undefined while it runs. */
  ended(): string | undefined;
  /** The lines of its log that tell of faults. */
  readonly faults: readonly string[];
  /** Resident memory, in megabytes. */
  memory(): number;
  userToken(id: string): Promise<string>;
  serviceToken(scope?: string): Promise<string>;
  /** Moves the clock by which its published keys grow old; needs `clock` in the options. */
  advance(ms: number): Promise<void>;
}

interface InstanceOptions {
  /** PostgreSQL; undefined is an embedded database of its own. */
  readonly databaseUrl?: string | undefined;
  readonly mutant?: MutantName | undefined;
  readonly environment?: Record<string, string>;
  readonly clock?: boolean;
}

/** Starts `src/main.ts`, whole or as a mutant, and waits until it listens. */
export async function startInstance(options: InstanceOptions = {}): Promise<Instance> {
  const { databaseUrl, mutant, environment = {}, clock = false } = options;
  const dataDir = mkdtempSync(join(tmpdir(), "privacy-control-"));
  const preload = (name: string) => ["--import", new URL(name, import.meta.url).href];
  const args = [
    ...(mutant === undefined ? [] : preload("mutate.ts")),
    ...(clock ? preload("clock.ts") : []),
    "src/main.ts",
  ];
  const child = spawn(process.execPath, args, {
    env: {
      HTTP_PORT: "0",
      GRPC_PORT: "0",
      ADMIN_PORT: "0",
      // The attacks are to meet what stands behind the limits of callers.
      RATE_WRITES_PER_MINUTE: "0",
      MAX_CALLS_IN_FLIGHT_PER_USER: "0",
      RATE_FAILED_TOKENS_PER_MINUTE: "0",
      // What is refused on a slow machine tells nothing of an attack.
      MAX_CALLS_IN_FLIGHT: "0",
      MAX_SERVICE_CALLS_IN_FLIGHT: "0",
      DATA_DIR: dataDir,
      JWT_ISSUER: minting.issuer,
      JWT_AUDIENCE: minting.audience,
      JWT_SERVICE_AUDIENCE: minting.serviceAudience,
      ...("JWKS_URL" in environment ? {} : { JWT_SECRET: minting.secret }),
      ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
      ...(mutant === undefined ? {} : { MUTANT: mutant }),
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const faults: string[] = [];
  let ended: string | undefined;
  const exited = once(child, "exit").then(([code, signal]) => {
    ended = `ended with ${signal ?? code}: ${faults.at(-1) ?? "no word"}`;
  });
  child.stderr?.on("data", (chunk) => faults.push(String(chunk)));
  const { publicUrl, internalUrl } = await listening(child, faults, exited);

  return {
    publicUrl,
    internalUrl,
    ended: () => ended,
    faults,
    memory: () => {
      const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8")) ?? [];
      return Number(kilobytes) / 1024;
    },
    userToken: (id) => userToken(id as UserId, minting),
    serviceToken: (scope = allScopes) => serviceToken("tests", scope, minting),
    async advance(ms) {
      const answer = once(child, "message");
      child.send(ms);
      await answer;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Reads the log on and on; resolves at the line that says where the service listens. */
function listening(child: ChildProcess, faults: string[], exited: Promise<void>) {
  const { promise, resolve, reject } = Promise.withResolvers<{ publicUrl: string; internalUrl: string }>();
  let rest = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.includes('"msg":"listening"')) resolve(JSON.parse(line));
      else if (/"level":"(?:error|fatal)"/.test(line)) faults.push(line);
    }
  });
  exited.then(() => reject(new Error(`the service did not start: ${faults.join("\n")}`)));
  return promise;
}
