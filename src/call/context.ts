import type { IncomingHttpHeaders } from "node:http";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type HandlerContext } from "@connectrpc/connect";
import type { Placed, Roster } from "../collections/roster.ts";

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

/** What tells that nobody waits for an answer any more: as much of an `AbortSignal` as can be had for little. */
export interface Cancellation {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/**
 * The context of a call that the pipeline runs: what Connect's `createHandlerContext` returns, but headers and signal
 * are made when they are first asked for, since most calls need none of them.
 */
export class CallContext implements HandlerContext, Cancellation, Placed {
  place = -1;
  readonly service;
  readonly method;
  readonly protocolName;
  readonly requestMethod;
  readonly url;
  readonly values = createContextValues();
  readonly #given: IncomingHttpHeaders;
  readonly #endsAt: number | undefined;
  readonly #deadline: NodeJS.Timeout | undefined;
  readonly #running: Roster<CallContext>;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #controller: AbortController | undefined;
  #listeners: Set<() => void> | undefined;
  /** Why the signal is aborted, or would be if somebody had asked for it. */
  #aborted: { readonly reason: unknown } | undefined;

  /** `running`: where the call stands until it is cancelled or ends. */
  constructor(method: DescMethodUnary, protocolName: string, start: CallStart, running: Roster<CallContext>) {
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
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  /** The headers and trailers of the response that somebody has asked for, most likely to set some. */
  get response(): { readonly header: Headers | undefined; readonly trailer: Headers | undefined } {
    return { header: this.#responseHeader, trailer: this.#responseTrailer };
  }

  get aborted(): boolean {
    return this.#aborted !== undefined;
  }

  get reason(): unknown {
    return this.#aborted?.reason;
  }

  addEventListener(_type: "abort", listener: () => void): void {
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
  }

  removeEventListener(_type: "abort", listener: () => void): void {
    this.#listeners?.delete(listener);
  }

  timeoutMs(): number | undefined {
    return this.#endsAt === undefined ? undefined : this.#endsAt - Date.now();
  }

  /** Tells the handler that nobody waits for it any more. The end of the call comes when the handler has noticed. */
  cancel(reason: unknown): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = { reason };
    this.#running.delete(this);
    for (const listener of this.#listeners ?? []) listener();
    this.#controller?.abort(reason);
  }

  /** Ends the call. Its signal is aborted, as Connect does it: work that is still under way for it is of no use. */
  end(): void {
    clearTimeout(this.#deadline);
    this.cancel(ended);
  }
}

/** The reason of the signals of all calls that have ended: to make one for each would take its stack. */
const ended = new ConnectError("the call has ended", Code.Canceled);

/** A header of a request, without making all of them where that can be spared. */
export function requestHeaderOf(context: HandlerContext, name: string): string | null {
  return context instanceof CallContext ? context.header(name) : context.requestHeader.get(name);
}

/** What tells that a call is over, without making its signal where that can be spared. */
export function cancellationOf(context: HandlerContext): Cancellation {
  return context instanceof CallContext ? context : context.signal;
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
