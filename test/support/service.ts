import { mkdtempSync, rmSync } from "node:fs";
import { BlockList } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CallOptions, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { pino } from "pino";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { type App, startApp } from "../../src/app.ts";
import type { Config } from "../../src/config/config.ts";
import { serviceToken, userToken } from "../../src/development/token-issuer.ts";
import type { UserId } from "../../src/domain/users.ts";
import { openDatabase } from "../../src/store/database.ts";
import { newDataDirectory } from "./data-directory.ts";
import { type Conformance, publishedConformance, type RestAnswer } from "./openapi.ts";
import { repeatedUpserts } from "./repeated-upserts.ts";

const tokenIssuer = {
  secret: "the secret that signs tokens in tests",
  issuer: "test",
  audience: "users",
  serviceAudience: "services",
  hours: 1,
};

/** No test meets a limit that it does not ask for. */
export const noRates: Config["rates"] = {
  writesPerMinute: 0,
  writesBurst: 1,
  failedTokensPerMinute: 0,
  serviceCallsPerMinute: 0,
  trustedProxies: new BlockList(),
};

export const noInFlightLimits: Config["maxInFlight"] = {
  publicCalls: 0,
  internalCalls: 0,
  perUser: 0,
  perService: 0,
};

const allScopes = "access.explain access.read changes.read graph.read graph.write users.act";

/** A service on free ports, and what a test needs to talk to it. */
export interface TestService extends App {
  userToken(id: string, hours?: number): Promise<string>;
  serviceToken(scope?: string, name?: string): Promise<string>;
  /** A REST call as a user; `token` overrides the good one. Fails when the answer is not as `/openapi.json` says. */
  rest(method: string, path: string, options?: RestOptions): Promise<RestAnswer>;
  /** Call options of a service that acts for a user. */
  acting(id?: string): Promise<CallOptions>;
  readonly graph: ReturnType<typeof createClient<typeof GraphService>>;
}

interface RestOptions {
  readonly as?: string;
  readonly token?: string | undefined;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

/** Starts the service on PostgreSQL, or without a URL on an embedded database of its own; `open` opens it otherwise. */
export async function startService(
  databaseUrl?: string,
  overrides: Partial<Config> = {},
  open = openDatabase,
): Promise<TestService> {
  const dataDir =
    databaseUrl === undefined ? await newDataDirectory() : mkdtempSync(join(tmpdir(), "privacy-control-"));
  const app = await startApp(
    {
      production: false,
      host: "127.0.0.1",
      httpPort: 0,
      grpcPort: 0,
      tls: undefined,
      drainDelayMs: 0,
      keepAliveMs: 620_000,
      graphMemoryBytes: 64 * 2 ** 20,
      admin: { host: "127.0.0.1", port: 0 },
      database: { url: databaseUrl, dataDir },
      jwt: {
        ...tokenIssuer,
        jwksUrl: undefined,
        jwksMaxStaleMs: 0,
        userClaim: "sub",
        scopeClaim: "scope",
        clockToleranceSeconds: 30,
      },
      corsOrigins: [],
      publicBasePath: "",
      rates: noRates,
      maxInFlight: noInFlightLimits,
      changeRetentionHours: 72,
      reflection: true,
      logLevel: "silent",
      tracing: undefined,
      ...overrides,
    },
    { log: pino({ level: "silent" }), open },
  );
  let documented: Promise<Conformance> | undefined;
  const tokenOfUser = (id: string, hours = 1) => userToken(id as UserId, { ...tokenIssuer, hours });
  const tokenOfService = (scope = allScopes, name = "tests") => serviceToken(name, scope, tokenIssuer);
  const acting = async (id?: string): Promise<CallOptions> => ({
    headers: {
      authorization: `Bearer ${await tokenOfService()}`,
      ...(id === undefined ? {} : { "x-acting-user": id }),
    },
  });

  return {
    ...app,
    userToken: tokenOfUser,
    serviceToken: tokenOfService,
    acting,
    graph: createClient(
      GraphService,
      createGrpcTransport({ baseUrl: app.internalUrl, interceptors: [repeatedUpserts] }),
    ),

    async rest(method, path, { as, token, body, headers } = {}) {
      const authorization = token ?? (as === undefined ? undefined : `Bearer ${await tokenOfUser(as)}`);
      const response = await fetch(app.publicUrl + path, {
        method,
        headers: {
          ...(authorization === undefined ? {} : { authorization }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const answer = { status: response.status, headers: response.headers, text, json: JSON.parse(text) };
      documented ??= publishedConformance(app.publicUrl);
      (await documented).check(method, path, answer);
      return answer;
    },

    async stop(graceMs) {
      const cut = await app.stop(graceMs);
      rmSync(dataDir, { recursive: true, force: true });
      return cut;
    },
  };
}
