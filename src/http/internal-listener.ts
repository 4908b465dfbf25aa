import type { Logger } from "pino";
import type { CallPipeline } from "../call/pipeline.ts";
import { internalRpc } from "./connect-handlers.ts";
import { type Listener, type ListenTls, listen } from "./listener.ts";
import { internalLimits, type ListenerLimits } from "./listener-limits.ts";
import { answerFailure } from "./plain-responses.ts";
import { createRequestRouter } from "./request-router.ts";

interface InternalListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly calls: CallPipeline;
  readonly log: Logger;
  readonly tls?: ListenTls | undefined;
  readonly limits?: ListenerLimits;
  /** False serves unary gRPC by Connect alone. */
  readonly fastPath?: boolean;
}

/** Opens the listener for other services: the given calls over gRPC, Connect and gRPC-Web, and nothing else. */
export function openInternalListener({
  host,
  port,
  calls,
  log,
  tls,
  limits = internalLimits,
  fastPath = true,
}: InternalListenerOptions): Promise<Listener> {
  const rpc = { ...internalRpc, readMaxBytes: limits.messageBytes };
  const front = createRequestRouter({
    calls,
    rpc,
    otherwise: (_request, response) => {
      calls.refused("http", 404);
      answerFailure(response, 404);
    },
    log,
    fastPath,
  });
  return listen({ host, port, front, limits, log, tls });
}
