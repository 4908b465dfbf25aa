import type { IncomingHttpHeaders } from "node:http";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type HandlerContext } from "@connectrpc/connect";
import type { DenseSet, DenseSetMember } from "../collections/dense-set.ts";

/** What a transport knows of a call when its headers are read. */
export interface CallStart {
  readonly requestMethod: string;
  readonly url: string;
  /** As Node gives them, of either version of HTTP. */
  readonly requestHeader: IncomingHttpHeaders;
  /** The caller's deadline, in milliseconds from now. */
  readonly timeoutMs?: number | undefined;
  /** The address at the other end of the connection, while that is open. */
  readonly peer: () => string | undefined;
}

/**
 * The context of a call that the pipeline runs: what Connect's `createHandlerContext` returns, but headers and signal
 * are made when they are first asked for, since most calls need none of them.
 */
export class CallContext implements HandlerContext, DenseSetMember {
  denseIndex = -1;
  readonly service;
  readonly method;
  readonly protocolName;
  readonly requestMethod;
  readonly url;
  readonly values = createContextValues();
  readonly #given: IncomingHttpHeaders;
  readonly #endsAt: number | undefined;
  readonly #deadline: NodeJS.Timeout | undefined;
  readonly #running: DenseSet<CallContext>;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #controller: AbortController | undefined;
  /** Why the signal is aborted, or would be if it had been made. */
  #cancelled: { readonly reason: unknown } | undefined;

  /** `running` has the call until it ends. */
  constructor(
    method: DescMethodUnary,
    protocolName: string,
    start: CallStart,
    running: DenseSet<CallContext>,
  ) {
    this.service = method.parent;
    this.method = method;
    this.protocolName = protocolName;
    this.requestMethod = start.requestMethod;
    this.url = start.url;
    this.#given = start.requestHeader;
    this.#running = running;
    running.add(this);
    const { timeoutMs } = start;
    if (timeoutMs === undefined) return;
    this.#endsAt = Date.now() + timeoutMs;
    const expire = () => this.cancel(new ConnectError("the operation timed out", Code.DeadlineExceeded));
    if (timeoutMs <= 0) expire();
    else this.#deadline = setTimeout(expire, timeoutMs);
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= toHeaders(this.#given);
    return this.#requestHeader;
  }

  /** One header of the request. */
  header(name: string): string | null {
    const value = this.#given[name];
    return value === undefined ? null : String(value);
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled !== undefined) this.#controller.abort(this.#cancelled.reason);
    }
    return this.#controller.signal;
  }

  /** The headers and trailers of the response that a handler has used. */
  get response(): { readonly header: Headers | undefined; readonly trailer: Headers | undefined } {
    return { header: this.#responseHeader, trailer: this.#responseTrailer };
  }

  /** Why the call is cancelled; undefined when it is not. */
  get cancelled(): { readonly reason: unknown } | undefined {
    return this.#cancelled;
  }

  timeoutMs(): number | undefined {
    return this.#endsAt === undefined ? undefined : this.#endsAt - Date.now();
  }

  /** Aborts the signal: nobody waits for the reply any more. The call ends when its handler has ended. */
  cancel(reason: unknown): void {
    if (this.#cancelled !== undefined) return;
    this.#cancelled = { reason };
    this.#controller?.abort(reason);
  }

  /** Ends the call. Does not abort the signal: after a success no work is left that could be cancelled. */
  end(): void {
    clearTimeout(this.#deadline);
    this.#running.delete(this);
  }
}

/** A header of a request, without making all of them where that can be spared. */
export function requestHeaderOf(context: HandlerContext, name: string): string | null {
  return context instanceof CallContext ? context.header(name) : context.requestHeader.get(name);
}

/** The headers of a request as the Fetch standard has them, without HTTP/2's pseudo-headers. */
function toHeaders(given: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) headers.append(name, one);
  }
  return headers;
}
