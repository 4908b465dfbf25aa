import type { RateConfig } from "../../config/limits.ts";
import { RateLimiter } from "./rate-limiter.ts";

/** The limits of callers; one that is left out is off. */
export interface CallerLimits {
  /** Calls that change something, by the user for whom they are made, whoever makes them. */
  readonly writes?: RateLimiter | undefined;
  /** Calls of a service, by its name. */
  readonly serviceCalls?: RateLimiter | undefined;
  /** Tokens that were refused, by the address that they came from. */
  readonly failedTokens?: RateLimiter | undefined;
}

/** Makes the limits of callers. Where no burst is given, it is what a minute allows. */
export function callerLimits(rates: Omit<RateConfig, "trustedProxies">): CallerLimits {
  const limiter = (name: string, perMinute: number, burst = perMinute) =>
    perMinute === 0 ? undefined : new RateLimiter({ name, perMinute, burst });
  return {
    writes: limiter("writes", rates.writesPerMinute, rates.writesBurst),
    serviceCalls: limiter("service-calls", rates.serviceCallsPerMinute),
    failedTokens: limiter("failed-tokens", rates.failedTokensPerMinute),
  };
}
