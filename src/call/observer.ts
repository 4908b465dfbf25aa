import type { DescMethod } from "@bufbuild/protobuf";
import { Code, type ConnectError, createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { Logger } from "pino";
import { principalKey } from "./auth/authenticator.ts";
import { tokenFlawKey } from "./auth/tokens.ts";
import { requestHeaderOf } from "./context.ts";
import { codeName, reasonOf, toConnectError } from "./errors.ts";
import { requestIdHeader, requestIdOf } from "./request-headers.ts";

/** Counts calls. It gets the method and the outcome, never the caller or the users concerned. */
export interface CallCounter {
  /** A call begins that does not only wait; it ends exactly once. */
  began(): void;
  /**
   * A call ends. `seconds` is undefined for one that waited for something to happen. `reason` is the `ErrorReason` of a call
   * that ended with `resource_exhausted`.
   */
  ended(
    method: DescMethod,
    protocol: string,
    code: string,
    seconds: number | undefined,
    reason?: string,
  ): void;
  /** A call is rejected as `OVERLOADED` before it begins. */
  overloaded(method: DescMethod, protocol: string): void;
  /** A request is answered that reached no method. */
  rejected(protocol: string, code: string): void;
}

/** Makes the spans of calls. */
export interface CallTracer {
  /** Begins the span of a call: a child of the span that the call's headers name, if they name one. */
  start(
    call: Pick<HandlerContext, "method" | "protocolName" | "requestMethod" | "url" | "requestHeader">,
    http?: HttpFacts,
  ): CallSpan;
}

/** The span of a call in flight. */
export interface CallSpan {
  readonly traceId: string;
  /** Runs a part of the call: the statements that it sends become part of the trace. */
  run<T>(work: () => T): T;
  /** Ends the span, by a canonical code or `ok`. */
  end(code: string, http?: HttpFacts): void;
}

/** What only a REST call has. */
export interface HttpFacts {
  /** The template of the path, never the path. */
  readonly route: string;
  readonly scheme: "http" | "https";
  /** `Host` or `:authority`. */
  readonly authority: string | undefined;
  readonly httpVersion: string;
  /** The status of the answer; undefined when there was none. */
  status: number | undefined;
}

/** Set on every REST call. */
export const httpKey = createContextKey<HttpFacts | undefined>(undefined, { description: "http" });

/** What observes calls. */
export interface Observers {
  readonly log: Logger;
  readonly observer?: CallCounter;
  readonly tracer?: CallTracer;
}

/** The codes that mean a fault of the service: their causes belong in the log. */
const faults = new Set([Code.Internal, Code.Unknown, Code.DataLoss, Code.Unavailable]);

/**
 * A call that has begun. However it ends, it is logged, counted and traced once, when `end` is called.
 */
export class ObservedCall {
  readonly context: HandlerContext;
  readonly #observers: Observers;
  readonly #startedAt = performance.now();
  readonly #span: CallSpan | undefined;
  readonly #isWaiting: boolean;
  #requestId: string | undefined;
  #failure: ConnectError | undefined;
  #isCutOff = false;
  #onEnd: (() => void)[] | undefined;
  #ended = false;

  /** Begins the call. `isWaiting`: it waits for something to happen, and does not count as one in flight. */
  constructor(context: HandlerContext, observers: Observers, isWaiting = false) {
    this.context = context;
    this.#observers = observers;
    this.#isWaiting = isWaiting;
    if (!isWaiting) observers.observer?.began();
    this.#span = observers.tracer?.start(context, context.values.get(httpKey));
  }

  /** Runs a part of the call within its span. */
  run<T>(work: () => T): T {
    return this.#span === undefined ? work() : this.#span.run(work);
  }

  /** Calls `release` when the call ends. */
  onEnd(release: () => void): void {
    this.#onEnd ??= [];
    this.#onEnd.push(release);
  }

  /**
   * Sets the outcome of the call. Returns the failure as its caller gets it: with an `ErrorReason`, without internal
   * text, and with the request id by which the log line is found.
   */
  fail(failure: unknown): ConnectError {
    if (this.#isCutOff && this.#failure !== undefined) return this.#failure;
    const error = toConnectError(failure);
    error.metadata.set(requestIdHeader, this.#id());
    this.#failure = error;
    return error;
  }

  /** Sets the outcome of a call that is about to be cut off: what fails because of that does not change it. */
  cutOff(failure: unknown): void {
    this.fail(failure);
    this.#isCutOff = true;
  }

  /** Whether the outcome is a failure so far. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Ends the call: as a success unless `fail` was called. Does nothing when the call has ended. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const release of this.#onEnd ?? []) release();
    const { method, protocolName, values } = this.context;
    const { log, observer } = this.#observers;
    const error = this.#failure;
    const ms = performance.now() - this.#startedAt;
    const code = error === undefined ? "ok" : codeName(error.code);
    const exhausted = error?.code === Code.ResourceExhausted ? reasonOf(error) : undefined;
    observer?.ended(method, protocolName, code, this.#isWaiting ? undefined : ms / 1000, exhausted);
    if (error !== undefined || log.isLevelEnabled("info")) this.#log(error, code, ms);
    this.#span?.end(code, values.get(httpKey));
  }

  #log(error: ConnectError | undefined, code: string, ms: number): void {
    const { method, protocolName, values } = this.context;
    const line = {
      protocol: protocolName,
      method: `${method.parent.typeName}/${method.name}`,
      code,
      principal: values.get(principalKey)?.kind,
      requestId: this.#id(),
      ms: Math.round(ms * 1000) / 1000,
      traceId: this.#span?.traceId,
      tokenFlaw: values.get(tokenFlawKey),
    };
    const { log } = this.#observers;
    if (error !== undefined && this.#isFault(error))
      log.error({ ...line, err: error.cause ?? error }, "call failed");
    else log.info(line, "call");
  }

  /** A call that waits ends without a cause when the service stops, and when its caller takes nothing. */
  #isFault({ code, cause }: ConnectError): boolean {
    return faults.has(code) && !(this.#isWaiting && code === Code.Unavailable && cause === undefined);
  }

  #id(): string {
    this.#requestId ??= requestIdOf(requestHeaderOf(this.context, requestIdHeader));
    return this.#requestId;
  }
}
