import type { Logger } from "pino";
import { AccessService } from "../gen/nexgate/privacy/v1/access_service_pb.ts";
import { ErrorReasonSchema } from "../gen/nexgate/privacy/v1/error_reason_pb.ts";
import { GraphService } from "../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import type { Config } from "./config.ts";
import { loadDemoData } from "./development/demo-data.ts";
import { PrivacyError } from "./domain/errors.ts";
import { openAdminListener } from "./http/admin-listener.ts";
import { apiPages } from "./http/docs/pages.ts";
import { openInternalListener } from "./http/internal-listener.ts";
import { publicLimits } from "./http/limits.ts";
import { openPublicListener } from "./http/public-listener.ts";
import { Certificates } from "./http/tls/certificates.ts";
import { Lifecycle } from "./lifecycle.ts";
import { Metrics } from "./metrics/metrics.ts";
import { watchListeners, watchReadiness } from "./metrics/service-metrics.ts";
import { createRestGateway } from "./rest/gateway.ts";
import { type Gate, serviceGate, userGate } from "./rpc/auth/gate.ts";
import { remoteKeys } from "./rpc/auth/token-keys.ts";
import { type TokenKeys, tokenVerifier } from "./rpc/auth/tokens.ts";
import { Calls, type Service, service } from "./rpc/calls.ts";
import { healthService } from "./rpc/health.ts";
import { callerLimits } from "./rpc/limits/caller-limits.ts";
import { clientAddress } from "./rpc/limits/client-address.ts";
import { limitedGate } from "./rpc/limits/limited-gate.ts";
import { shareDebts } from "./rpc/limits/share-debts.ts";
import { Load } from "./rpc/load.ts";
import { reflectionServices } from "./rpc/reflection.ts";
import { accessHandlers } from "./service/access.ts";
import { blockHandlers } from "./service/blocks.ts";
import { Coalescer } from "./service/coalescer.ts";
import { exceptionHandlers } from "./service/exceptions.ts";
import { graphHandlers } from "./service/graph.ts";
import { muteHandlers } from "./service/mutes.ts";
import { PageTokens } from "./service/page-tokens.ts";
import { settingHandlers } from "./service/settings.ts";
import type { PairFacts, PairQuestion } from "./store/access-facts.ts";
import { type Database, openDatabase } from "./store/database.ts";
import type { Tracing } from "./tracing/tracing.ts";

/** A running service. */
export interface App {
  readonly publicUrl: string;
  readonly internalUrl: string;
  /** Where operators read the metrics. */
  readonly adminUrl: string;
  /** The database in use, without its password. */
  readonly database: string;
  /** Looks for new certificates now; undefined without TLS. */
  readonly renew: (() => Promise<void>) | undefined;
  /** Tells balancers, by `/readyz` and `grpc.health.v1`, to send nothing more. Goes on serving. */
  retire(): void;
  /**
   * Stops the service: refuses new connections, ends the streams that have no end of their own, lets the calls in
   * flight finish for `graceMs` milliseconds, cuts off what is left, and closes the database. Resolves to how many
   * calls were cut off.
   */
  stop(graceMs: number): Promise<number>;
}

/**
 * Checks share statements of up to 1,000 pairs; four at once leave most of the connections to changes. What waits
 * beyond twenty statements would wait too long.
 */
const checkLimits = { statementSize: 1_000, fairShare: 250, inFlight: 4, waiting: 20_000 };
/** How long the database may take to answer the question whether the service is ready. */
const pingMs = 1_500;
/** How long a scrape under way may take when everything else has ended. */
const adminGraceMs = 500;

interface AppOptions {
  readonly log: Logger;
  /** The secret that stands in for a configured key, in development. */
  readonly developmentSecret?: string | undefined;
  /** Opens the store; a test may put something in its way. */
  readonly open?: typeof openDatabase;
  /** Served on the internal listener beside its own. */
  readonly furtherServices?: readonly Service[];
}

/** The service cannot start; the message tells the operator why. */
class StartError extends Error {
  override readonly name = "StartError";
}

/** Opens the database, prepares it, and starts the listeners. Rejects, with nothing left open, when a part fails. */
export async function startApp(
  config: Config,
  { log, developmentSecret, furtherServices = [], open = openDatabase }: AppOptions,
): Promise<App> {
  await using parts = new AsyncDisposableStack();
  const metrics = new Metrics();
  const tracing = await openTracing(config, log);
  parts.defer(() => tracing?.stop());
  const certificates = config.tls && (await Certificates.open(config.tls, { log }));
  parts.defer(() => certificates?.close());
  const database = await open({
    ...config.database,
    log: (message) => log.debug(message),
    onWait: metrics.pools.waited,
    tracer: tracing?.statements,
  });
  parts.defer(() => database.close());
  const tokens = new PageTokens(await prepare(database, config, developmentSecret !== undefined));
  const privacyControl = service(PrivacyControlService, {
    ...blockHandlers(database.blocks, tokens),
    ...muteHandlers(database.mutes, tokens),
    ...settingHandlers(database.settings),
    ...exceptionHandlers(database.exceptions, tokens),
  });
  const lifecycle = new Lifecycle(
    [PrivacyControlService, GraphService, AccessService].map(({ typeName }) => typeName),
  );
  const graph = service(
    GraphService,
    graphHandlers(
      database.users,
      database.follows,
      database.imports,
      (importId, progress) => log.info({ importId, ...progress }, "import"),
      lifecycle.stopping,
    ),
  );
  const facts = new Coalescer<PairQuestion, PairFacts>(
    (questions, signal) => database.accessFacts.read(questions, signal),
    checkLimits,
    { onSend: (pairs) => metrics.checks.sent(pairs), tracer: tracing?.statements },
  );
  const access = service(AccessService, accessHandlers(facts));
  const internalServices = [privacyControl, graph, access, ...furtherServices];

  const { audience, serviceAudience, issuer } = config.jwt;
  const keys = tokenKeys(config, developmentSecret);
  const limits = callerLimits(config.rates);
  const limited = (gate: Gate) => limitedGate(gate, limits, clientAddress(config.rates.trustedProxies));
  // The embedded database serves one process: there is nobody to share with.
  const sharing = database.kind === "embedded" ? undefined : shareDebts(limits, database.rateDebts, log);
  parts.use(sharing);

  const observers = { log, observer: metrics.calls, ...(tracing && { tracer: tracing.calls }) };
  const publicCalls = new Calls({
    services: [privacyControl],
    gate: limited(userGate(tokenVerifier(keys, { issuer, audience, otherAudience: serviceAudience }))),
    ...observers,
    load: new Load(config.maxInFlight.publicCalls, log),
    shutdownSignal: lifecycle.shutdown,
  });
  const internalCalls = new Calls({
    services: [
      ...internalServices,
      healthService(lifecycle.health),
      ...(config.reflection
        ? reflectionServices(
            internalServices.map(({ desc }) => desc.file),
            lifecycle.stopping,
          )
        : []),
    ],
    gate: limited(
      serviceGate(tokenVerifier(keys, { issuer, audience: serviceAudience, otherAudience: audience })),
    ),
    ...observers,
    // Apart from the public ones, which must not take the place of other services' decisions.
    load: new Load(config.maxInFlight.internalCalls, log),
    shutdownSignal: lifecycle.shutdown,
  });

  const ready = async () => {
    if (lifecycle.retired) return false;
    await database.ping(AbortSignal.timeout(pingMs));
    return true;
  };
  const rest = createRestGateway({ calls: publicCalls, log, maxBodyBytes: publicLimits.messageBytes });
  const publicListener = await openPublicListener({
    host: config.host,
    port: config.httpPort,
    calls: publicCalls,
    rest: await apiPages(rest.routes, ErrorReasonSchema, rest.handle),
    methodsAt: rest.methodsAt,
    ready,
    log,
    corsOrigins: config.corsOrigins,
    tls: certificates && { certificates, demandsClients: false },
  });
  parts.defer(() => publicListener.close(0));
  const internalListener = await openInternalListener({
    host: config.host,
    port: config.grpcPort,
    calls: internalCalls,
    log,
    tls: certificates && { certificates, demandsClients: certificates.demandsClients },
  });
  parts.defer(() => internalListener.close(0));

  metrics.checks.watch(facts);
  metrics.pools.watch(() => database.pools());
  watchListeners(metrics.registry, { public: publicListener, internal: internalListener });
  watchReadiness(metrics.registry, ready);
  const adminListener = await openAdminListener({ ...config.admin, render: metrics.render, log });
  parts.move();
  database.watch((present) => {
    log.warn(present ? "the database is back" : "the database is away");
    lifecycle.health.setServing(present);
  });

  return {
    publicUrl: publicListener.url,
    internalUrl: internalListener.url,
    adminUrl: adminListener.url,
    database: database.describe(),
    renew: certificates && (() => certificates.reload()),
    retire: () => lifecycle.retire(),
    async stop(graceMs) {
      const cutOff = await lifecycle.close([publicListener, internalListener], graceMs);
      certificates?.close();
      await sharing?.[Symbol.asyncDispose]();
      await database.close();
      await tracing?.stop();
      // Last, so that the end can be watched.
      await adminListener.close(adminGraceMs);
      return cutOff;
    },
  };
}

/** Brings the schema up to date, or makes sure that it is, and returns the key of page tokens. */
async function prepare(
  database: Database,
  { production }: Config,
  withDemoData: boolean,
): Promise<Uint8Array> {
  try {
    if (production) await database.assertMigrated();
    else await database.migrate();
    if (withDemoData) await loadDemoData(database);
    return await database.signingKey();
  } catch (cause) {
    const { message } =
      cause instanceof PrivacyError && cause.cause instanceof Error ? cause.cause : (cause as Error);
    throw new StartError(`The database ${database.describe()} cannot be used: ${message}`, { cause });
  }
}

/** Traces, where they have somewhere to go; OpenTelemetry is not loaded else. */
async function openTracing({ tracing }: Config, log: Logger): Promise<Tracing | undefined> {
  if (tracing === undefined) return undefined;
  return (await import("./tracing/tracing.ts")).startTracing(tracing, log);
}

function tokenKeys({ jwt }: Config, developmentSecret: string | undefined): TokenKeys {
  if (jwt.jwksUrl !== undefined) return { kind: "published", ...remoteKeys(jwt.jwksUrl) };
  const secret = jwt.secret ?? developmentSecret;
  if (secret === undefined) throw new Error("no key to verify tokens with");
  return { kind: "secret", secret: new TextEncoder().encode(secret) };
}
