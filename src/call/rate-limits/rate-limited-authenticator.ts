import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { ConnectError, HandlerContext } from "@connectrpc/connect";
import { PrivacyError } from "../../domain/errors.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import { actorKey, principalKey } from "../auth/principal.ts";
import { toConnectError } from "../errors.ts";
import type { CallerLimits } from "./caller-limits.ts";
import type { RateLimiter, Taken } from "./rate-limiter.ts";
import { holdKey } from "./tarpit.ts";

interface GateLimits extends CallerLimits {
  readonly addressOf: (context: HandlerContext) => string;
  /** How long who goes beyond a limit waits to hear so, in milliseconds. */
  readonly holdMs?: number;
}

/**
 * Puts the limits of callers behind a gate. What a caller is told of them follows from the caller's own calls alone,
 * those that fail included. Every token is verified: a good one is never refused because of bad ones of its address. Nor
 * is an expired one: its client needs the 401 to fetch another token.
 */
export function limitedGate(
  gate: Authenticator,
  { writes, serviceCalls, failedTokens, addressOf, holdMs = 0 }: GateLimits,
): Authenticator {
  const check = (limiter: RateLimiter, key: string, context: HandlerContext) => {
    const taken = limiter.take(key);
    if (taken.allowed) return taken;
    context.values.set(holdKey, holdMs);
    throw tooMany(limiter, taken);
  };
  const countServiceCall = (context: HandlerContext) => {
    const principal = context.values.get(principalKey);
    if (serviceCalls !== undefined && principal?.kind === "service")
      check(serviceCalls, principal.name, context);
  };
  const refuse = (context: HandlerContext, failure: unknown): never => {
    if (failedTokens !== undefined && isBadToken(failure)) check(failedTokens, addressOf(context), context);
    countServiceCall(context);
    throw failure;
  };
  const count = (context: HandlerContext): void => {
    countServiceCall(context);
    const actor = context.values.get(actorKey);
    if (writes === undefined || actor === undefined || !changesSomething(context.method)) return;
    const taken = check(writes, actor.id, context);
    for (const [name, value] of headersOf(writes, taken)) context.responseHeader.set(name, value);
  };
  return (context) => {
    let admitted: void | Promise<void>;
    try {
      admitted = gate(context);
    } catch (failure) {
      return refuse(context, failure);
    }
    if (admitted === undefined) return count(context);
    return admitted.then(
      () => count(context),
      (failure) => refuse(context, failure),
    );
  };
}

/** Whether a method is defined to have side effects; one that does not say so counts as such. */
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

function tooMany(limiter: RateLimiter, taken: Taken): ConnectError {
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
