import { setTimeout } from "node:timers/promises";
import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { type ConnectError, createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { RateConfig } from "../../config/limits.ts";
import { PrivacyError } from "../../domain/errors.ts";
import { actorKey, principalKey } from "../auth/authenticator.ts";
import { toConnectError } from "../errors.ts";
import { RateLimiter, type Taken } from "./rate-limiter.ts";

/** The rate limiters of callers; one that is left out is off. */
export interface CallerLimits {
  /** Calls that change something, by the user for whom they are made, whoever makes them. */
  readonly writes?: RateLimiter | undefined;
  /** Calls of a service, by its name. */
  readonly serviceCalls?: RateLimiter | undefined;
  /** Tokens that were rejected, by the address that they came from. */
  readonly failedTokens?: RateLimiter | undefined;
}

/** Makes the rate limiters of callers. Where no burst is given, it is what a minute allows. */
export function callerLimits(rates: Omit<RateConfig, "trustedProxies">): CallerLimits {
  const limiter = (name: string, perMinute: number, burst = perMinute) =>
    perMinute === 0 ? undefined : new RateLimiter({ name, perMinute, burst });
  return {
    writes: limiter("writes", rates.writesPerMinute, rates.writesBurst),
    serviceCalls: limiter("service-calls", rates.serviceCallsPerMinute),
    failedTokens: limiter("failed-tokens", rates.failedTokensPerMinute),
  };
}

interface RateLimitOptions extends CallerLimits {
  readonly addressOf: (context: HandlerContext) => string;
  /** For how long the rejection of a call beyond a limit is delayed, in milliseconds. */
  readonly delayMs?: number;
}

/** How long the rejection of a call is delayed, in milliseconds. */
const delayKey = createContextKey(0, { description: "delay of the rejection" });

/**
 * The rate limits of callers, a step of the call pipeline. What a caller learns of them follows from the caller's own
 * calls alone, those that fail included. Every token is verified: a good one is never rejected because of bad ones of
 * its address. Nor is an expired one: its client needs the 401 to fetch another token.
 */
export class RateLimits {
  readonly #options: RateLimitOptions;

  constructor(options: RateLimitOptions) {
    this.#options = options;
  }

  /** Counts an authenticated call. Throws `RATE_LIMITED` when its caller goes beyond a limit. */
  count(context: HandlerContext): void {
    this.#countServiceCall(context);
    const { writes } = this.#options;
    const actor = context.values.get(actorKey);
    if (writes === undefined || actor === undefined || !changesSomething(context.method)) return;
    const taken = this.#take(writes, actor.id, context);
    for (const [name, value] of headersOf(writes, taken)) context.responseHeader.set(name, value);
  }

  /** Counts a call whose authentication failed. Throws `RATE_LIMITED` when its caller goes beyond a limit. */
  countFailure(context: HandlerContext, failure: unknown): void {
    const { failedTokens, addressOf } = this.#options;
    if (failedTokens !== undefined && isBadToken(failure))
      this.#take(failedTokens, addressOf(context), context);
    this.#countServiceCall(context);
  }

  #countServiceCall(context: HandlerContext): void {
    const { serviceCalls } = this.#options;
    const principal = context.values.get(principalKey);
    if (serviceCalls !== undefined && principal?.kind === "service")
      this.#take(serviceCalls, principal.name, context);
  }

  #take(limiter: RateLimiter, key: string, context: HandlerContext): Taken {
    const taken = limiter.take(key);
    if (taken.allowed) return taken;
    context.values.set(delayKey, this.#options.delayMs ?? 0);
    throw rateLimited(limiter, taken);
  }
}

/** How long the rejection of a call is to be delayed, in milliseconds. */
export function rejectionDelay(context: HandlerContext): number {
  return context.values.get(delayKey);
}

/**
 * Delays the rejection of a call (a tarpit): by `ms` milliseconds, half as many more or less, so that calls that come
 * together do not come together again. By half of the time that the client still waits at most, and not when the client
 * has disconnected.
 */
export async function delayRejection(context: HandlerContext, ms: number): Promise<void> {
  const jittered = ms * (0.5 + Math.random());
  const most = Math.min(jittered, (context.timeoutMs() ?? Number.POSITIVE_INFINITY) / 2);
  if (most > 0) await setTimeout(most, undefined, { signal: context.signal }).catch(() => {});
}

/** Whether a method has side effects: by its definition, or because that does not say. */
export function changesSomething(method: DescMethod): boolean {
  return method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
}

/** Whether a token may be a forgery. A missing one is not, and an expired one was signed with the right key. */
function isBadToken(failure: unknown): boolean {
  return (
    failure instanceof PrivacyError &&
    failure.kind === "unauthenticated" &&
    failure.reason !== "TOKEN_REQUIRED" &&
    failure.reason !== "TOKEN_EXPIRED"
  );
}

function rateLimited(limiter: RateLimiter, taken: Taken): ConnectError {
  const error = toConnectError(new PrivacyError("RATE_LIMITED", { retryAfter: taken.nextAfter }));
  for (const [name, value] of headersOf(limiter, taken)) error.metadata.set(name, value);
  return error;
}

/** The limit and what is left of it (draft-ietf-httpapi-ratelimit-headers): `t` is when all of it is back. */
function headersOf({ rate: { name, burst, perMinute } }: RateLimiter, { remaining, fullAfter }: Taken) {
  const window = Math.ceil((burst * 60) / perMinute);
  return [
    ["ratelimit-policy", `"${name}";q=${burst};w=${window}`],
    ["ratelimit", `"${name}";r=${remaining};t=${fullAfter}`],
  ] as const;
}
