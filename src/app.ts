import type { Logger } from "pino";
import { ErrorReasonSchema } from "../gen/nexgate/privacy/v1/error_reason_pb.ts";
import { CallPipeline } from "./call/pipeline.ts";
import type { Service } from "./call/service.ts";
import { createAuth } from "./composition/auth.ts";
import { Lifecycle } from "./composition/lifecycle.ts";
import { createServices, serviceNames } from "./composition/services.ts";
import { prepareDatabase } from "./composition/start-checks.ts";
import type { Config } from "./config/config.ts";
import { healthService } from "./grpc/health.ts";
import { reflectionServices } from "./grpc/reflection.ts";
import { Certificates } from "./http/certificates.ts";
import { internalLimits, publicLimits } from "./http/listener-limits.ts";
import { openAdminListener, openInternalListener, openPublicListener } from "./http/listeners.ts";
import { Metrics } from "./metrics/metrics.ts";
import { AdaptiveConcurrencyLimiter } from "./overload/adaptive-concurrency-limiter.ts";
import { apiPage } from "./rest/docs/api-page.ts";
import { renderFailure } from "./rest/envelopes.ts";
import { createRestGateway } from "./rest/gateway.ts";
import { ChangeFeed, feedIntervals } from "./service/change-feed.ts";
import { ChangeLogMonitor } from "./service/change-log-monitor.ts";
import { graphModes, RelationshipIndex } from "./service/relationship-index.ts";
import { Upkeep, upkeepTasks } from "./service/upkeep.ts";
import { openDatabase } from "./store/database.ts";
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
  /** Reports, by `/readyz` and `grpc.health.v1`, that balancers must send no more calls. The service goes on serving. */
  retire(): void;
  /**
   * Stops the service: refuses new connections, ends the streams that have no end of their own, lets the calls in
   * flight finish for `graceMs` milliseconds, cuts off what is left, and closes the database. Resolves to how many
   * calls were cut off.
   */
  stop(graceMs: number): Promise<number>;
}

/** How long a scrape under way may take when everything else has ended. */
const adminGraceMs = 500;

interface AppOptions {
  readonly log: Logger;
  /** The secret that replaces a configured key in development. */
  readonly developmentSecret?: string | undefined;
  /** Opens the store. Tests inject faults by it. */
  readonly open?: typeof openDatabase;
  /** Further services of the internal listener. */
  readonly furtherServices?: readonly Service[];
}

/**
 * Creates the parts of the service from the database up, starts them, and returns what stops them. Rejects, with nothing
 * left open, when a part fails.
 */
export async function startApp(
  config: Config,
  { log, developmentSecret, furtherServices = [], open = openDatabase }: AppOptions,
): Promise<App> {
  /** What outlives the listeners. It is closed in the opposite order. */
  await using resources = new AsyncDisposableStack();
  /** What a failed start must close. A running service closes its listeners gracefully. */
  await using opened = new AsyncDisposableStack();

  // What the other parts report to.
  const metrics = new Metrics();
  const tracing = await openTracing(config, log);
  resources.defer(() => tracing?.stop());
  const lifecycle = new Lifecycle(serviceNames);

  // The files and the database that the service depends on.
  const certificates = config.tls && (await Certificates.open(config.tls, { log }));
  resources.defer(() => certificates?.close());
  const database = await open({
    ...config.database,
    log: (message) => log.debug(message),
    warn: (message) => log.warn(message),
    onCreate: () => log.info("making the embedded database, which takes a few seconds"),
    onWait: metrics.waitedForConnection,
    tracer: tracing?.statements,
  });
  resources.defer(() => database.close());
  const signingKey = await prepareDatabase(database, {
    production: config.production,
    withDemoData: developmentSecret !== undefined,
  });
  const auth = createAuth(config, {
    log,
    developmentSecret,
    onKeys: (available) => lifecycle.setAvailable("keys", available),
  });
  resources.defer(() => auth.close());

  // The services, and the pipeline of calls of each listener.
  const { stopping, shutdown: shutdownSignal } = lifecycle;
  const feed = await ChangeFeed.start(database.changes, feedIntervals(database.kind), log);
  resources.defer(() => feed.close());
  const graph =
    config.graphMemoryBytes === 0
      ? undefined
      : new RelationshipIndex({
          changes: database.changes,
          readIndex: database.readIndex,
          pages: database.graphPages,
          newestTick: () => feed.head,
          maxBytes: config.graphMemoryBytes,
          log,
        });
  resources.defer(() => graph?.close());
  if (graph !== undefined) metrics.showGraph(graph, { modes: graphModes, maxBytes: config.graphMemoryBytes });
  const services = createServices({ database, feed, graph, signingKey, log, metrics, tracing, stopping });
  const internalServices = [
    services.privacyControl,
    services.graph,
    services.access,
    services.changes,
    ...furtherServices,
  ];
  const common = {
    log,
    takeSlots: auth.takeSlots,
    observer: metrics.calls,
    ...(tracing && { tracer: tracing.calls }),
    shutdownSignal,
  };
  const publicCalls = new CallPipeline({
    ...common,
    ...auth.users,
    // Rejected before authentication, where a rejection costs least.
    services: [{ ...services.privacyControl, isOverloaded: () => database.isSaturated() }],
    limiter: new AdaptiveConcurrencyLimiter(config.maxInFlight.publicCalls, log),
  });
  const files = internalServices.map(({ desc }) => desc.file);
  const internalCalls = new CallPipeline({
    ...common,
    ...auth.services,
    services: [
      ...internalServices,
      healthService(lifecycle.health),
      ...(config.reflection ? reflectionServices(files, stopping) : []),
    ],
    // A limit of its own, so that public calls cannot use up that of other services' decisions.
    limiter: new AdaptiveConcurrencyLimiter(config.maxInFlight.internalCalls, log),
  });

  // The listeners.
  const rest = createRestGateway({ calls: publicCalls, log, maxBodyBytes: publicLimits.messageBytes });
  // Does not query the database: a probe must not wait for a connection that calls use.
  const ready = () => lifecycle.ready && auth.keysAvailable();
  const publicListener = await openPublicListener({
    host: config.host,
    port: config.httpPort,
    calls: publicCalls,
    rest: rest.handle,
    methodsAt: rest.methodsAt,
    resources: await apiPage(rest.routes, ErrorReasonSchema),
    ready,
    renderFailure,
    log,
    corsOrigins: config.corsOrigins,
    prefix: { basePath: config.publicBasePath, trustedProxies: config.rates.trustedProxies },
    limits: { ...publicLimits, keepAliveMs: config.keepAliveMs },
    tls: certificates && { certificates, demandsClients: false },
  });
  opened.defer(() => publicListener.close(0));
  const internalListener = await openInternalListener({
    host: config.host,
    port: config.grpcPort,
    calls: internalCalls,
    renderFailure,
    log,
    limits: { ...internalLimits, keepAliveMs: config.keepAliveMs },
    tls: certificates && { certificates, demandsClients: certificates.demandsClients },
  });
  opened.defer(() => internalListener.close(0));

  metrics.showPools(() => database.pools());
  metrics.showListeners({ public: publicListener, internal: internalListener });
  metrics.showConcurrencyLimits({ public: publicCalls.limiter, internal: internalCalls.limiter });
  metrics.showReadiness(ready);
  const monitor = new ChangeLogMonitor(
    (signal) => database.changeLogFigures.read(signal),
    config.changeRetentionHours * 3_600,
  );
  metrics.showChangeLog(() => monitor.state());
  const adminListener = await openAdminListener({
    ...config.admin,
    render: metrics.render,
    ready,
    renderFailure,
    log,
  });

  // Nothing can fail from here on.
  opened.move();
  const running = resources.move();
  database.watchAvailability((isAvailable) => {
    log.warn(isAvailable ? "the database is available again" : "the database is unavailable");
    lifecycle.setAvailable("database", isAvailable);
  });
  const tasks = upkeepTasks(database, config.changeRetentionHours);
  const upkeep = new Upkeep([...tasks, monitor.task], log);
  metrics.showUpkeep(() => upkeep.ages());
  running.defer(() => upkeep.stop());

  return {
    publicUrl: publicListener.url,
    internalUrl: internalListener.url,
    adminUrl: adminListener.url,
    database: database.describe(),
    renew: certificates && (() => certificates.reload()),
    retire: () => lifecycle.retire(),
    async stop(graceMs) {
      const cutOff = await lifecycle.close([publicListener, internalListener], graceMs);
      await running.disposeAsync();
      // Last, so that the shutdown can be watched.
      await adminListener.close(adminGraceMs);
      return cutOff;
    },
  };
}

/** Starts tracing where it is configured. OpenTelemetry's SDK is not loaded otherwise. */
async function openTracing({ tracing, database }: Config, log: Logger): Promise<Tracing | undefined> {
  if (tracing === undefined) return undefined;
  return (await import("./tracing/tracing.ts")).startTracing({ ...tracing, databaseUrl: database.url }, log);
}
