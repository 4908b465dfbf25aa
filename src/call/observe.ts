import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { Logger } from "pino";
import { PrivacyError } from "../domain/errors.ts";
import { principalKey } from "./auth/principal.ts";
import { tokenFlawKey } from "./auth/refused-token.ts";
import { type LogOf, logsOfCalls } from "./call-log.ts";
import { type CallTracer, httpKey, spanKey } from "./call-span.ts";
import { isDisconnect } from "./client-disconnect.ts";
import { cancellationOf, requestHeaderOf } from "./context.ts";
import { reasonOf, toConnectError } from "./errors.ts";
import { requestIdHeader, requestIdOf } from "./request-headers.ts";

/**
 * The reason with which our own wires end a call that went well. Sharing one object spares each call the making of
 * a DOMException with its stack.
 */
export const finished = new ConnectError("the call has finished", Code.Canceled);

/** The codes that mean a fault of ours: what lies behind them belongs in the log. */
const faults = new Set([Code.Internal, Code.Unknown, Code.DataLoss, Code.Unavailable]);

/** Called once when a call has ended, however it ended. Set while the call is admitted. */
export const onEndKey = createContextKey<(() => void) | undefined>(undefined, { description: "on end" });

/** Counts calls. It learns what was called and how it ended, never who called or about whom. */
interface CallObserver {
  /** A call begins; it ends exactly once. */
  began(): void;
  /** `reason` is the `ErrorReason` of a call that ended with `resource_exhausted`. */
  ended(method: DescMethod, protocol: string, code: string, seconds: number, reason?: string): void;
  /** A call is refused as `OVERLOADED` before it begins. */
  overloaded(method: DescMethod, protocol: string): void;
  /** A request is answered that reached no method. */
  refused(protocol: string, code: string): void;
}

/** What learns of calls. */
export interface Observers {
  readonly log: Logger;
  readonly observer?: CallObserver;
  readonly tracer?: CallTracer;
}

/**
 * Makes what follows a call to its end and logs it once, whatever it met: a refused token, a body that cannot be
 * parsed, a rule broken, a failing handler.
 *
 * Every wire, Connect's own included, ends a call by `context.abort(reason)` before it writes the reason out. That
 * makes it the one door that all failures pass, also those that never reach an interceptor; here they get their
 * `google.rpc.ErrorInfo`, and the request id.
 */
export function observing({
  log,
  observer,
  tracer,
}: Observers): (context: HandlerContext & Abortable) => void {
  const isSilent = !log.isLevelEnabled("info");
  const logOf = logsOfCalls(log);
  return (context) => {
    const startedAt = performance.now();
    const abort = context.abort;
    let ended = false;
    observer?.began();
    if (tracer !== undefined) context.values.set(spanKey, tracer.start(context, context.values.get(httpKey)));
    context.abort = (reason) => {
      if (!ended) {
        ended = true;
        context.values.get(onEndKey)?.();
        const error = outcome(context, reason);
        if (reason instanceof ConnectError && reason !== finished && error) replace(reason, error);
        const ms = performance.now() - startedAt;
        const code = error === undefined ? "ok" : codeName(error.code);
        const exhausted = error?.code === Code.ResourceExhausted ? reasonOf(error) : undefined;
        observer?.ended(context.method, context.protocolName, code, ms / 1000, exhausted);
        if (error !== undefined || !isSilent) report(context, { error, code, ms }, logOf);
        context.values.get(spanKey)?.end(code, context.values.get(httpKey));
      }
      abort.call(context, reason);
    };
  };
}

/** What a context of a call has beside what its handler may see. */
export interface Abortable {
  abort(reason?: unknown): void;
}

function outcome(context: HandlerContext, reason: unknown): ConnectError | undefined {
  if (reason === undefined || reason === finished) {
    const cancellation = cancellationOf(context);
    return cancellation.aborted ? toConnectError(cancellation.reason) : undefined;
  }
  // What handlers throw is mapped before it gets here.
  return toConnectError(isDisconnect(reason) ? new PrivacyError("CANCELLED", { cause: reason }) : reason);
}

/** Makes the failure that a wire is about to write say what another one says. */
function replace(written: ConnectError, { code, rawMessage, details, metadata }: ConnectError): void {
  Object.assign(written, { code, rawMessage, details, metadata });
}

interface End {
  readonly error: ConnectError | undefined;
  readonly code: string;
  readonly ms: number;
}

function report(context: HandlerContext, { error, code, ms }: End, logOf: LogOf): void {
  const log = logOf({
    protocol: context.protocolName,
    method: `${context.service.typeName}/${context.method.name}`,
    code,
    principal: context.values.get(principalKey)?.kind,
  });
  const requestId = requestIdOf(requestHeaderOf(context, requestIdHeader));
  const line = {
    requestId,
    ms: Math.round(ms * 1000) / 1000,
    traceId: context.values.get(spanKey)?.traceId,
    tokenFlaw: context.values.get(tokenFlawKey),
  };
  error?.metadata.set(requestIdHeader, requestId);
  if (error !== undefined && faults.has(error.code))
    log.error({ ...line, err: error.cause ?? error }, "call failed");
  else log.info(line, "call");
}

const codeNames = new Map(
  Object.values(Code)
    .filter((code) => typeof code === "number")
    .map((code) => [code, Code[code].replace(/(?<!^)(?=[A-Z])/g, "_").toLowerCase()]),
);

/** The name of a code, as the log and the metrics spell it: `not_found`. */
export function codeName(code: Code): string {
  return codeNames.get(code) ?? "unknown";
}
