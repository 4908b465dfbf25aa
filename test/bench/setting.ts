import { readFileSync } from "node:fs";
import { join } from "node:path";
import { serviceToken, userToken } from "../../src/development/token-issuer.ts";
import type { UserId } from "../../src/domain/users.ts";
import { until } from "../support/until.ts";
import type { BenchDatabase } from "./harness/database.ts";
import { type Server, startServer } from "./harness/processes.ts";
import { startFlags } from "./harness/start-flags.ts";

const minting = {
  secret: "the secret that signs tokens in the benchmark",
  issuer: "bench",
  audience: "privacy-control",
  serviceAudience: "privacy-control-internal",
  hours: 24,
};

/** How the servers that verify tokens do so. */
const tokenSettings = { JWT_SECRET: minting.secret, JWT_ISSUER: minting.issuer };

/** The servers that are compared, each on a free port, all of them on the same core and database. */
export interface Servers {
  readonly ours: Server;
  /** This service without its graph. */
  readonly oursByTables: Server;
  readonly grpcJs: Server;
  readonly grpcJsByAny: Server;
  readonly grpcJsEmpty: Server;
  readonly connectNodeEmpty: Server;
  readonly fastify: Server;
  /** Fastify with the work of a service in production, and each change in a transaction or as one statement. */
  readonly fastifyTransactions: Server;
  readonly fastifyAutocommit: Server;
  readonly httpEmpty: Server;
}

/** What a run has: its servers, its tokens and a directory. */
export interface Setting extends AsyncDisposable {
  readonly folder: string;
  readonly servers: Servers;
  /** The token of the calling service, the same in every call, as services use theirs until it expires. */
  readonly serviceToken: string;
  userToken(id: string): Promise<string>;
}

/** Starts this service on a database, as in production but for its empty method, and waits until its graph decides. */
export async function startOurs(url: string, log: string): Promise<Server> {
  const server = await startServer("test/bench/service.ts", [], log, environmentOf(url), startFlags);
  // Until then the tables are asked.
  await until(() => readFileSync(log, "utf8").includes("the graph is current"));
  return server;
}

/** Starts this service as `startOurs` does, without a graph: the tables decide. */
export function startByTables(url: string, log: string): Promise<Server> {
  const environment = { ...environmentOf(url), GRAPH_MEMORY_MB: "0" };
  return startServer("test/bench/service.ts", [], log, environment, startFlags);
}

/** The environment in which this service is measured. */
export function environmentOf(url: string): Record<string, string> {
  return {
    DATABASE_URL: url,
    HTTP_PORT: "0",
    GRPC_PORT: "0",
    ADMIN_PORT: "0",
    // Limits are on, and out of reach.
    RATE_WRITES_PER_MINUTE: "1000000",
    MAX_CALLS_IN_FLIGHT_PER_USER: "0",
    RATE_WRITES_BURST: "1000000",
    ...tokenSettings,
  };
}

/** Mints the token with which the loads call. */
export function mintServiceToken(): Promise<string> {
  return serviceToken(
    "bench",
    "access.explain access.read changes.read users.act graph.read graph.write",
    minting,
  );
}

/** Mints a user's token. */
export function mintUserToken(id: string): Promise<string> {
  return userToken(id as UserId, minting);
}

/** Starts everything that is compared. */
export async function startSetting({ url }: BenchDatabase, folder: string): Promise<Setting> {
  await using parts = new AsyncDisposableStack();
  const owned = async (name: string, start: (log: string) => Promise<Server>) => {
    const server = await start(join(folder, `${name}.log`));
    parts.defer(() => server.stop());
    return server;
  };
  const peer = (name: string, ...args: string[]) =>
    owned(name + (args[1] ?? ""), (log) =>
      startServer(`test/bench/peers/${name}.ts`, args, log, tokenSettings, startFlags),
    );
  const servers = {
    ours: await owned("ours", (log) => startOurs(url, log)),
    oursByTables: await owned("ours-by-tables", (log) => startByTables(url, log)),
    grpcJs: await peer("grpc-js-pg", url, "own"),
    grpcJsByAny: await peer("grpc-js-pg", url, "any"),
    grpcJsEmpty: await peer("grpc-js-empty"),
    connectNodeEmpty: await peer("connect-node-empty"),
    fastify: await peer("fastify-pg", url),
    fastifyTransactions: await peer("fastify-pg-production", url, "transactions"),
    fastifyAutocommit: await peer("fastify-pg-production", url, "autocommit"),
    httpEmpty: await peer("http-empty"),
  };
  const rest = parts.move();
  return {
    folder,
    servers,
    serviceToken: await mintServiceToken(),
    userToken: mintUserToken,
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  };
}
