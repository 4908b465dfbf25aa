import { BlockList } from "node:net";
import type { Logger } from "pino";
import type { CallPipeline } from "../call/pipeline.ts";
import { publicRpc } from "./connect-handlers.ts";
import { type AllowedOrigins, cors, varyHeaders } from "./cors.ts";
import { securityHeaders } from "./default-headers.ts";
import { type Listener, type ListenTls, listen } from "./listener.ts";
import { type ListenerLimits, publicLimits } from "./listener-limits.ts";
import { type PathPrefixOptions, pathPrefix } from "./path-prefix.ts";
import { probes } from "./probes.ts";
import { createRequestRouter, type Handle } from "./request-router.ts";

interface PublicListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly calls: CallPipeline;
  /** Answers whatever is neither an RPC nor a probe; unknown paths too. */
  readonly rest: Handle;
  /** The HTTP methods that `rest` serves at a path. */
  readonly methodsAt?: (path: string) => readonly string[];
  /** Whether the service can do its work now. */
  readonly ready: () => boolean;
  readonly log: Logger;
  /** The origins whose pages may use the port; none by default. */
  readonly corsOrigins?: AllowedOrigins;
  /** Where clients see the port; at the root by default. */
  readonly prefix?: PathPrefixOptions;
  readonly tls?: ListenTls | undefined;
  readonly limits?: ListenerLimits;
  /** False serves unary gRPC by Connect alone. */
  readonly fastPath?: boolean;
}

/** Opens the listener for people's clients: REST, probes, and the given calls over Connect, gRPC-Web and gRPC. */
export function openPublicListener({
  host,
  port,
  calls,
  rest,
  methodsAt = () => [],
  ready,
  log,
  corsOrigins = [],
  prefix = { basePath: "", trustedProxies: new BlockList() },
  tls,
  limits = publicLimits,
  fastPath = true,
}: PublicListenerOptions): Promise<Listener> {
  const rpc = { ...publicRpc, readMaxBytes: limits.messageBytes };
  const front = createRequestRouter({
    calls,
    rpc,
    otherwise: probes(ready, rest),
    log,
    fastPath,
    headers: [...securityHeaders(tls !== undefined), ...varyHeaders(corsOrigins)],
    cors: cors(corsOrigins),
    setPrefix: pathPrefix(prefix),
    methodsAt,
  });
  return listen({ host, port, front, limits, log, tls });
}
