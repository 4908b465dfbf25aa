import { BlockList } from "node:net";
import type { Logger } from "pino";
import type { CallPipeline } from "../call/pipeline.ts";
import type { CorsOrigins } from "../config/security.ts";
import { internalRpc, publicRpc } from "./connect-handlers.ts";
import { cors, varyHeaders } from "./cors.ts";
import { type Listener, type ListenTls, listen } from "./listen.ts";
import { adminLimits, internalLimits, type ListenerLimits, publicLimits } from "./listener-limits.ts";
import { type PathPrefixOptions, pathPrefix } from "./normalize-request.ts";
import {
  type HttpResponse,
  PlainFailures,
  type RenderFailure,
  securityHeaders,
  sendText,
} from "./plain-responses.ts";
import { createRequestRouter, createResourceRouter, type Handle, type Resources } from "./request-router.ts";

interface CommonOptions {
  readonly host: string;
  readonly port: number;
  /** Renders the answers to requests that reach no method. */
  readonly renderFailure: RenderFailure;
  readonly log: Logger;
}

interface CallOptions extends CommonOptions {
  readonly calls: CallPipeline;
  readonly tls?: ListenTls | undefined;
  readonly limits?: ListenerLimits;
  /** False serves unary gRPC by Connect alone. */
  readonly fastPath?: boolean;
}

/** Tells whether the service can do its work now. Never rejects. */
type Ready = () => boolean | Promise<boolean>;

interface PublicListenerOptions extends CallOptions {
  /** Answers whatever is neither an RPC nor a resource; unknown paths too. */
  readonly rest: Handle;
  /** The HTTP methods that `rest` serves at a path. */
  readonly methodsAt?: (path: string) => readonly string[];
  /** Served besides the probes. */
  readonly resources?: Resources;
  readonly ready: Ready;
  /** The origins whose pages may use the port; none by default. */
  readonly corsOrigins?: CorsOrigins;
  /** Where clients see the port; at the root by default. */
  readonly prefix?: PathPrefixOptions;
}

/** Opens the listener for people's clients: REST, probes, and the given calls over Connect, gRPC-Web and gRPC. */
export function openPublicListener({
  host,
  port,
  calls,
  rest,
  methodsAt = () => [],
  resources = new Map(),
  ready,
  renderFailure,
  log,
  corsOrigins = [],
  prefix = { basePath: "", trustedProxies: new BlockList() },
  tls,
  limits = publicLimits,
  fastPath = true,
}: PublicListenerOptions): Promise<Listener> {
  const router = createRequestRouter({
    calls,
    rpc: { ...publicRpc, readMaxBytes: limits.messageBytes },
    resources: new Map([...resources, ...probes(ready)]),
    fallback: rest,
    methodsAt,
    failures: new PlainFailures(renderFailure),
    log,
    fastPath,
    headers: [...securityHeaders(tls !== undefined), ...varyHeaders(corsOrigins)],
    cors: cors(corsOrigins),
    setPrefix: pathPrefix(prefix),
  });
  return listen({ host, port, router, limits, log, tls });
}

/** Opens the listener for other services: the given calls over gRPC, Connect and gRPC-Web, and nothing else. */
export function openInternalListener({
  host,
  port,
  calls,
  renderFailure,
  log,
  tls,
  limits = internalLimits,
  fastPath = true,
}: CallOptions): Promise<Listener> {
  const failures = new PlainFailures(renderFailure);
  const router = createRequestRouter({
    calls,
    rpc: { ...internalRpc, readMaxBytes: limits.messageBytes },
    fallback: (_request, response) => {
      calls.countRejected("http", 404);
      failures.send(response, 404);
    },
    failures,
    log,
    fastPath,
  });
  return listen({ host, port, router, limits, log, tls });
}

interface AdminListenerOptions extends CommonOptions {
  /** Reads the metrics. */
  readonly render: () => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly ready: Ready;
}

/**
 * Opens the operators' listener: `/metrics`, `/healthz` while the process lives, `/readyz` when it can do its work. It
 * needs no token. It has connection limits of its own.
 */
export function openAdminListener({
  host,
  port,
  render,
  ready,
  renderFailure,
  log,
}: AdminListenerOptions): Promise<Listener> {
  const metrics: Handle = async (_request, response) => {
    const { contentType, body } = await render();
    sendText(response, 200, contentType, body);
  };
  const resources = new Map([...probes(ready), ["/metrics", metrics]]);
  const router = createResourceRouter(resources, new PlainFailures(renderFailure), log);
  return listen({ host, port, router, limits: adminLimits, log });
}

/** The probes: `/healthz` (the process lives) and `/readyz` (it can do its work now). */
function probes(ready: Ready): Map<string, Handle> {
  const send = (response: HttpResponse, status: number, said: string) =>
    sendText(response, status, "application/json; charset=utf-8", `{"status":"${said}"}`);
  return new Map([
    ["/healthz", (_request, response) => send(response, 200, "ok")],
    [
      "/readyz",
      async (_request, response) =>
        (await ready()) ? send(response, 200, "ready") : send(response, 503, "unavailable"),
    ],
  ]);
}
