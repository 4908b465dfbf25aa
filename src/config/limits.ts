import { BlockList, isIP, isIPv6 } from "node:net";
import { kind, type Values, wholeNumber } from "./variables.ts";

/** How often a caller may call; 0 is no limit. */
export interface RateConfig {
  readonly writesPerMinute: number;
  readonly writesBurst: number;
  readonly failedTokensPerMinute: number;
  readonly serviceCallsPerMinute: number;
  /** The addresses whose `X-Forwarded-For` is trusted. */
  readonly trustedProxies: BlockList;
}

/** How many calls may be in flight at once; 0 for any number. */
export interface InFlightConfig {
  /** On the public port. */
  readonly publicCalls: number;
  /** On the internal port. */
  readonly internalCalls: number;
  /** Of one user, on both ports together. */
  readonly perUser: number;
  /** Of one service. */
  readonly perService: number;
}

const numberFrom = (min: number) => wholeNumber("a number", min, 1_000_000);

const networks = kind(
  "IP addresses or networks (10.0.0.0/8) between commas",
  (value) => {
    const list = new BlockList();
    for (const item of value.split(",")) {
      const [address = "", length, more] = item.trim().split("/");
      const bits = isIPv6(address) ? 128 : 32;
      const prefix = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
      if (isIP(address) === 0 || more !== undefined || !(prefix <= bits)) return undefined;
      list.addSubnet(address, prefix, isIPv6(address) ? "ipv6" : "ipv4");
    }
    return list;
  },
  (list) => list.rules.map((rule) => rule.slice(rule.lastIndexOf(" ") + 1)).join(","),
);

export const rateVariables = {
  RATE_WRITES_PER_MINUTE: numberFrom(0)(600),
  RATE_WRITES_BURST: numberFrom(1)(200),
  RATE_FAILED_TOKENS_PER_MINUTE: numberFrom(0)(300),
  RATE_SERVICE_CALLS_PER_MINUTE: numberFrom(0)(0),
  TRUSTED_PROXIES: networks(new BlockList()),
};

export function rateConfig(env: Values<typeof rateVariables>): RateConfig {
  return Object.freeze({
    writesPerMinute: env.RATE_WRITES_PER_MINUTE,
    writesBurst: env.RATE_WRITES_BURST,
    failedTokensPerMinute: env.RATE_FAILED_TOKENS_PER_MINUTE,
    serviceCallsPerMinute: env.RATE_SERVICE_CALLS_PER_MINUTE,
    trustedProxies: env.TRUSTED_PROXIES,
  });
}

export const inFlightVariables = {
  MAX_CALLS_IN_FLIGHT: numberFrom(0)(200),
  // Most of them are decisions, of which many share one statement.
  MAX_SERVICE_CALLS_IN_FLIGHT: numberFrom(0)(1_000),
  // A quarter of the connections for changes and lists, and of the lowest adaptive limit.
  MAX_CALLS_IN_FLIGHT_PER_USER: numberFrom(0)(4),
  MAX_CALLS_IN_FLIGHT_PER_SERVICE: numberFrom(0)(0),
};

export function inFlightConfig(env: Values<typeof inFlightVariables>): InFlightConfig {
  return Object.freeze({
    publicCalls: env.MAX_CALLS_IN_FLIGHT,
    internalCalls: env.MAX_SERVICE_CALLS_IN_FLIGHT,
    perUser: env.MAX_CALLS_IN_FLIGHT_PER_USER,
    perService: env.MAX_CALLS_IN_FLIGHT_PER_SERVICE,
  });
}
