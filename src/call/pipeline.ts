import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  type ConnectError,
  type ConnectRouter,
  createServiceImplSpec,
  type HandlerContext,
} from "@connectrpc/connect";
import { DenseSet } from "../collections/dense-set.ts";
import { AdaptiveConcurrencyLimiter } from "../overload/adaptive-concurrency-limiter.ts";
import type { Authenticator } from "./auth/authenticator.ts";
import type { TakeSlots } from "./caller-slots.ts";
import { CallContext, type CallStart } from "./context.ts";
import { readFailure, toConnectError } from "./errors.ts";
import { codeOfRejection } from "./http-status.ts";
import { ObservedCall, type Observers } from "./observer.ts";
import { peerKey } from "./rate-limits/client-address.ts";
import { delayRejection, type RateLimits, rejectionDelay } from "./rate-limits/rate-limits.ts";
import type { Service, UnaryEndpoint } from "./service.ts";
import { validate } from "./validate.ts";

/** The protocol of a request that reached no method: plain HTTP tells REST and Connect apart only by their paths. */
export type RejectedProtocol = "grpc" | "grpc-web" | "http";

/**
 * For how long authentication holds a slot of the limiter, in milliseconds. One that takes longer waits for the key
 * server, which anyone can cause by a token that names an unknown key.
 */
const authenticationMs = 100;

type Message = MessageShape<DescMessage>;

/** Writes the answer of a call that has ended. */
export type Write = () => void;

/** What a transport does for one call. The pipeline calls these in their order. */
export interface Transport {
  readonly protocol: string;
  /** Answers a call that is rejected since the service is overloaded, with as little work as possible. */
  rejectOverloaded(): void;
  /** What the headers say of the call. */
  start(): CallStart;
  /** The call begins. From now on the transport cancels it when its client disconnects. */
  begin(context: CallContext): void;
  /** Reads the request message. */
  read(context: CallContext): Promise<Message>;
  /** Replaces the handler of the method for this call, when it returns one. */
  handler?(context: CallContext, message: Message): UnaryEndpoint["impl"] | undefined;
  /** Prepares the reply. What this throws fails the call. */
  reply(context: CallContext, message: Message): Write | Promise<Write>;
  /** Prepares the failure, which was made of what was thrown. */
  fail(context: CallContext, error: ConnectError, thrown: unknown): Write;
}

interface CallPipelineOptions extends Observers {
  readonly services: readonly Service[];
  readonly authenticate: Authenticator;
  readonly rateLimits?: RateLimits;
  /** Bounds the calls in flight of each caller; unbounded by default. */
  readonly takeSlots?: TakeSlots;
  /** Bounds the calls in flight; unbounded by default. */
  readonly limiter?: AdaptiveConcurrencyLimiter;
  /** Cancels every call when the process has waited long enough for its end. */
  readonly shutdownSignal?: AbortSignal;
}

/**
 * The way of every call, whatever its transport. The steps in their order:
 *
 * 1. `tryAdmit`: admission control rejects a call when the service is overloaded, before any other work.
 * 2. `begin`: access log, metrics and trace begin.
 * 3. `authenticate`: the token, the scope and the acting user; then the rate limits and the slots of the caller.
 * 4. The transport reads the body.
 * 5. `handle`: the message is validated, then the handler runs.
 * 6. The transport prepares the reply or the failure.
 * 7. Access log, metrics and trace end, with the outcome.
 * 8. The transport writes.
 *
 * `run` does all of them, for REST and unary gRPC. Connect's adapter has a flow of its own and calls the single steps
 * from it (src/http/connect-handlers.ts).
 */
export class CallPipeline {
  readonly services: readonly Service[];
  readonly limiter: AdaptiveConcurrencyLimiter;
  readonly shutdownSignal: AbortSignal | undefined;
  readonly #authenticator: Authenticator;
  readonly #rateLimits: RateLimits | undefined;
  readonly #takeSlots: TakeSlots | undefined;
  readonly #observers: Observers;
  readonly #unary = new Map<string, UnaryEndpoint>();
  readonly #withoutAuth: ReadonlySet<string>;
  readonly #isOverloaded = new Map<string, () => boolean>();
  readonly #waiting: ReadonlySet<string>;
  /** The calls of `run` that are in flight: an abort listener for each would cost more. */
  readonly #running = new DenseSet<CallContext>();

  constructor(options: CallPipelineOptions) {
    const { services, authenticate, rateLimits, takeSlots, limiter, shutdownSignal, ...observers } = options;
    this.services = services;
    this.limiter = limiter ?? new AdaptiveConcurrencyLimiter(0, observers.log);
    this.shutdownSignal = shutdownSignal;
    shutdownSignal?.addEventListener("abort", () => {
      for (const context of this.#running) context.cancel(shutdownSignal.reason);
    });
    this.#authenticator = authenticate;
    this.#rateLimits = rateLimits;
    this.#takeSlots = takeSlots;
    this.#observers = observers;
    this.#withoutAuth = new Set(
      services.filter(({ requiresAuth }) => requiresAuth === false).map(({ desc }) => desc.typeName),
    );
    this.#waiting = new Set(services.filter(({ isWaiting }) => isWaiting).map(({ desc }) => desc.typeName));
    for (const { desc, impl, isOverloaded } of services) {
      if (isOverloaded !== undefined) this.#isOverloaded.set(desc.typeName, isOverloaded);
      for (const spec of Object.values(createServiceImplSpec(desc, impl).methods)) {
        if (spec.kind === "unary") this.#unary.set(`/${desc.typeName}/${spec.method.name}`, spec);
      }
    }
  }

  /** The unary method at an RPC path (`/package.Service/Method`), undefined when there is none. */
  unary(path: string): UnaryEndpoint | undefined {
    return this.#unary.get(path);
  }

  /** Every unary method, for a gateway to bind. */
  endpoints(): Iterable<UnaryEndpoint> {
    return this.#unary.values();
  }

  /** Registers the services with a router of Connect. */
  readonly routes = (router: ConnectRouter): void => {
    for (const { desc, impl, compresses = true } of this.services)
      router.service(desc, impl, compresses ? undefined : { compressMinBytes: Number.POSITIVE_INFINITY });
  };

  /** Counts a request that reached no method, by the status of its answer. */
  countRejected(protocol: RejectedProtocol, status: number): void {
    this.#observers.observer?.rejected(protocol, codeOfRejection(status));
  }

  /** Runs a unary call from its start to its end. Rejects only when the transport cannot write. */
  run(endpoint: UnaryEndpoint, transport: Transport): void | Promise<void> {
    if (!this.tryAdmit(endpoint.method, transport.protocol)) return transport.rejectOverloaded();
    return this.#run(endpoint, transport);
  }

  async #run(endpoint: UnaryEndpoint, transport: Transport): Promise<void> {
    const context = this.newContext(endpoint, transport.protocol, transport.start());
    transport.begin(context);
    const call = this.begin(context);
    let write: Write;
    try {
      const authenticated = this.authenticate(call);
      if (authenticated !== undefined) await authenticated;
      // The message is passed on, not kept here: it would stay in memory for as long as the handler works.
      const reply = await transport.read(context).then((message) => {
        const handler = transport.handler?.(context, message);
        return this.#handle(call, endpoint, message, handler);
      });
      write = await transport.reply(context, create(endpoint.method.output, reply));
      if (context.cancelled !== undefined) call.fail(context.cancelled.reason);
    } catch (thrown) {
      const error = call.fail(readFailure(thrown));
      // What the handler has begun and not awaited is of no use any more.
      context.cancel(error);
      write = transport.fail(context, error, thrown);
    }
    call.end();
    context.end();
    write();
  }

  /**
   * Reserves a slot of the limiter for a call of a method that arrives now. Returns false, and counts the call as
   * rejected, when there is none: then it must not begin. To be called once for each call.
   */
  tryAdmit(method: DescMethod, protocol: string): boolean {
    const { typeName } = method.parent;
    if (this.#withoutAuth.has(typeName)) return true;
    if (this.limiter.tryAcquire(this.#isOverloaded.get(typeName)?.())) return true;
    // Not logged one by one: an overloaded service has no time for it.
    this.#observers.observer?.overloaded(method, protocol);
    return false;
  }

  /** Makes the context of a call, which the shutdown cancels. */
  newContext(endpoint: UnaryEndpoint, protocol: string, start: CallStart): CallContext {
    const context = new CallContext(endpoint.method, protocol, start, this.#running);
    context.values.set(peerKey, start.peer);
    if (this.shutdownSignal?.aborted) context.cancel(this.shutdownSignal.reason);
    return context;
  }

  /** Begins a call: whoever begins it must end it. */
  begin(context: HandlerContext): ObservedCall {
    return new ObservedCall(context, this.#observers, this.#waits(context));
  }

  /**
   * Authenticates the caller, counts the call against the caller's rate limits, and takes the caller's slots. All by
   * the headers alone, before the body is read. At once when the token is known, as it is in nearly every call.
   */
  authenticate(call: ObservedCall): void | Promise<void> {
    const { context } = call;
    if (this.#withoutAuth.has(context.service.typeName)) return;
    try {
      const authenticated = this.#authenticator(context);
      if (authenticated !== undefined) return this.#authenticateLater(call, authenticated);
    } catch (failure) {
      return this.#rejectToken(context, failure);
    }
    try {
      const slots = this.#limitCaller(call);
      return slots?.catch((failure) => this.#reject(context, failure));
    } catch (failure) {
      return this.#reject(context, failure);
    }
  }

  async #authenticateLater(call: ObservedCall, authenticated: Promise<void>): Promise<void> {
    try {
      await this.limiter.run(() => authenticated, authenticationMs);
    } catch (failure) {
      return this.#rejectToken(call.context, failure);
    }
    try {
      await this.#limitCaller(call);
    } catch (failure) {
      await this.#reject(call.context, failure);
    }
  }

  #limitCaller(call: ObservedCall): void | Promise<void> {
    this.#rateLimits?.count(call.context);
    if (this.#waits(call.context)) return;
    return this.#takeSlots?.(call.context, (release) => call.onEnd(release));
  }

  #rejectToken(context: HandlerContext, failure: unknown): Promise<never> {
    try {
      this.#rateLimits?.countFailure(context, failure);
    } catch (rateLimited) {
      return this.#reject(context, rateLimited);
    }
    return this.#reject(context, failure);
  }

  /** Throws the failure of a caller, now or after a delay. A delayed rejection holds no slot. */
  #reject(context: HandlerContext, failure: unknown): Promise<never> {
    const ms = rejectionDelay(context);
    const rejection = toConnectError(failure);
    if (ms === 0) throw rejection;
    return delayRejection(context, ms).then(() => {
      throw rejection;
    });
  }

  #handle(
    call: ObservedCall,
    { method, impl }: UnaryEndpoint,
    message: Message,
    handler: UnaryEndpoint["impl"] | undefined,
  ): Promise<MessageInitShape<DescMessage>> {
    const run = handler ?? impl;
    // What replaces a handler also waits for its client: its latency does not count.
    return this.handle(call, method.input, message, () => run(message, call.context), handler === undefined);
  }

  /**
   * Validates the message of a unary call and runs its handler, within the trace and a slot of the limiter, unless the call
   * is one that waits. Rejects with a `ConnectError`.
   */
  handle<Reply>(
    call: ObservedCall,
    input: DescMessage,
    message: Message,
    handler: () => Reply | Promise<Reply>,
    latencyCounts = true,
  ): Promise<Reply> {
    return call.run(() => {
      const isWaiting = this.#waits(call.context);
      const begunAt = isWaiting ? undefined : this.limiter.begin();
      const reply = new Promise<Reply>((resolve) => {
        validate(input, message);
        resolve(handler());
      });
      if (isWaiting) return reply.catch((failure) => Promise.reject(toConnectError(failure)));
      return this.#finish(reply, latencyCounts ? begunAt : undefined);
    });
  }

  #waits({ service }: HandlerContext): boolean {
    return this.#waiting.has(service.typeName);
  }

  /** Apart from `handle`, of which nothing stays in memory while the reply is waited for. */
  async #finish<Reply>(reply: Promise<Reply>, begunAt: number | undefined): Promise<Reply> {
    let answeredSince: number | undefined;
    try {
      const answer = await reply;
      answeredSince = begunAt;
      return answer;
    } catch (failure) {
      throw toConnectError(failure);
    } finally {
      this.limiter.release(answeredSince);
    }
  }
}
