import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  createServiceImplSpec,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { Roster } from "../collections/roster.ts";
import { AdaptiveConcurrencyLimiter, overloaded } from "../overload/adaptive-concurrency-limiter.ts";
import type { Authenticator } from "./auth/authenticator.ts";
import { inSpan, spanKey } from "./call-span.ts";
import type { TakeSlots } from "./caller-slots.ts";
import { CallContext, type CallStart } from "./context.ts";
import { toConnectError } from "./errors.ts";
import { mapErrors } from "./map-errors.ts";
import { type Abortable, type Observers, observing } from "./observe.ts";
import { peerKey } from "./rate-limits/client-address.ts";
import { hold, holdKey } from "./rate-limits/tarpit.ts";
import { codeOfStatus } from "./refusals.ts";
import type { Service, UnaryEndpoint } from "./service.ts";
import { check, validate } from "./validate.ts";

/** What a request spoke that reached no method: plain HTTP tells REST and Connect apart only by their paths. */
export type RefusedProtocol = "grpc" | "grpc-web" | "http";

/**
 * For how long the check of a token holds a slot, in milliseconds. One that takes longer waits for the key server, which
 * anyone can have it do by a token that names an unknown key.
 */
const tokenCheckMs = 100;

interface CallsOptions extends Observers {
  readonly services: readonly Service[];
  readonly gate: Authenticator;
  /** Bounds the calls in flight of each caller; unbounded by default. */
  readonly takeSlots?: TakeSlots;
  /** Bounds the calls at work; unbounded by default. */
  readonly limiter?: AdaptiveConcurrencyLimiter;
  /** Aborts the context of every call when the process has waited long enough for its end. */
  readonly shutdownSignal?: AbortSignal;
}

/**
 * What every call passes through on its way to a handler, whatever its wire: log, gate, error mapping, validation.
 * REST and the gRPC fast path make calls here; Connect's adapter is given the same gate and interceptors.
 */
export class CallPipeline {
  readonly services: readonly Service[];
  readonly interceptors: Interceptor[];
  readonly limiter: AdaptiveConcurrencyLimiter;
  readonly shutdownSignal: AbortSignal | undefined;
  readonly #gate: Authenticator;
  readonly #takeSlots: TakeSlots;
  readonly #observers: Observers;
  readonly #observe: (context: HandlerContext & Abortable) => void;
  readonly #unary = new Map<string, UnaryEndpoint>();
  readonly #open: ReadonlySet<string>;
  readonly #overloaded = new Map<string, () => boolean>();
  /** The calls of our own wires that are under way: telling each costs less than an abort listener for each. */
  readonly #running = new Roster<CallContext>();

  constructor({ services, gate, takeSlots, limiter, shutdownSignal, ...observers }: CallsOptions) {
    this.services = services;
    this.limiter = limiter ?? new AdaptiveConcurrencyLimiter(0, observers.log);
    this.shutdownSignal = shutdownSignal;
    shutdownSignal?.addEventListener("abort", () => {
      for (const context of this.#running) context.cancel(shutdownSignal.reason);
    });
    this.#gate = gate;
    this.#takeSlots = takeSlots ?? (() => {});
    this.#observers = observers;
    this.#observe = observing(observers);
    const outermost = observers.tracer === undefined ? [] : [inSpan];
    this.interceptors = [...outermost, this.limiter.interceptor, mapErrors, validate];
    this.#open = new Set(
      services.filter(({ requiresAuth }) => requiresAuth === false).map(({ desc }) => desc.typeName),
    );
    for (const { desc, impl, isOverloaded } of services) {
      if (isOverloaded !== undefined) this.#overloaded.set(desc.typeName, isOverloaded);
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

  /**
   * Reserves a slot for a call of a method that arrives now. When no slot is free, counts the call as refused and returns
   * true: then it must not be started. To be called once for each call.
   */
  refuseIfOverloaded(method: DescMethod, protocol: string): boolean {
    const { typeName } = method.parent;
    if (this.#open.has(typeName) || this.limiter.tryAcquire(this.#overloaded.get(typeName)?.())) return false;
    // Not logged one by one: that would take time when there is none.
    this.#observers.observer?.overloaded(method, protocol);
    return true;
  }

  /** Starts a call: the context that its handler will get. */
  start(method: DescMethodUnary, call: CallStart): CallContext {
    const context = new CallContext(method, call, this.#running);
    context.values.set(peerKey, call.peer);
    if (this.shutdownSignal?.aborted) context.cancel(this.shutdownSignal.reason);
    return context;
  }

  /** Admits a call that Connect has started, as its `requestGate`: refuses it when overloaded, or does as `admit`. */
  readonly admitUnlessFull = (context: HandlerContext): void | Promise<void> => {
    if (this.refuseIfOverloaded(context.method, context.protocolName)) throw toConnectError(overloaded());
    return this.admit(context);
  };

  /** Admits a started call that was not refused, now or later, or throws. Runs before the body is read. */
  admit(context: HandlerContext): void | Promise<void> {
    this.#observe(context as HandlerContext & Abortable);
    if (this.#open.has(context.service.typeName)) return;
    try {
      const admitted = this.#gate(context);
      if (admitted !== undefined) return this.#admitLater(context, admitted);
      const slots = this.#takeSlots(context);
      if (slots !== undefined) return slots.catch((failure) => this.#refuse(context, failure));
    } catch (failure) {
      return this.#refuse(context, failure);
    }
  }

  /** Counts a request that reached no method, by the status of its answer. */
  refused(protocol: RefusedProtocol, status: number): void {
    this.#observers.observer?.refused(protocol, codeOfStatus(status));
  }

  /**
   * Runs an admitted call: what `interceptors` do for Connect's adapter, then the handler. `impl` may stand in for
   * the handler.
   */
  invoke(
    endpoint: UnaryEndpoint,
    context: HandlerContext,
    message: MessageShape<DescMessage>,
    impl: UnaryEndpoint["impl"] = endpoint.impl,
  ): Promise<MessageShape<DescMessage>> {
    const span = context.values.get(spanKey);
    if (span === undefined) return this.#handle(endpoint, impl, context, message);
    return span.run(() => this.#handle(endpoint, impl, context, message));
  }

  #handle(
    { method: { input, output }, impl: handler }: UnaryEndpoint,
    impl: UnaryEndpoint["impl"],
    context: HandlerContext,
    message: MessageShape<DescMessage>,
  ): Promise<MessageShape<DescMessage>> {
    const since = this.limiter.begin();
    const begun = new Promise<MessageInitShape<DescMessage>>((resolve) => {
      check(input, message);
      resolve(impl(message, context));
    });
    // What stands in for a handler also waits for its client.
    return this.#finish(output, begun, impl === handler ? since : undefined);
  }

  /** Apart from the beginning, of which nothing stays in memory while the answer is waited for. */
  async #finish(
    output: DescMessage,
    begun: Promise<MessageInitShape<DescMessage>>,
    since: number | undefined,
  ): Promise<MessageShape<DescMessage>> {
    let answeredSince: number | undefined;
    try {
      const answer = create(output, await begun);
      answeredSince = since;
      return answer;
    } catch (failure) {
      throw toConnectError(failure);
    } finally {
      this.limiter.release(answeredSince);
    }
  }

  async #admitLater(context: HandlerContext, admitted: Promise<void>): Promise<void> {
    try {
      await this.limiter.run(() => admitted, tokenCheckMs);
      await this.#takeSlots(context);
    } catch (failure) {
      await this.#refuse(context, failure);
    }
  }

  /** Throws the failure of a gate, when it is to be told. What is held back takes nobody's place. */
  #refuse(context: HandlerContext, failure: unknown): Promise<never> {
    const ms = context.values.get(holdKey);
    const refusal = toConnectError(failure);
    if (ms === 0) throw refusal;
    return hold(context, ms).then(() => {
      throw refusal;
    });
  }

  /** Registers the services with a router of Connect. */
  readonly routes = (router: ConnectRouter): void => {
    for (const { desc, impl } of this.services) router.service(desc, impl);
  };
}
