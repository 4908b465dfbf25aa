import { BlockList, isIP, isIPv6 } from "node:net";
import { checked, wholeNumber } from "./validators.ts";

/** How often a caller may call; 0 is no limit. */
export interface RateConfig {
  readonly writesPerMinute: number;
  readonly writesBurst: number;
  readonly failedTokensPerMinute: number;
  readonly serviceCallsPerMinute: number;
  /** The addresses whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: BlockList;
}

const perMinute = wholeNumber("a number", 0, 1_000_000);
const burst = wholeNumber("a number", 1, 1_000_000);

const addresses = checked(
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
  RATE_WRITES_PER_MINUTE: perMinute({ default: 600 }),
  RATE_WRITES_BURST: burst({ default: 200 }),
  RATE_FAILED_TOKENS_PER_MINUTE: perMinute({ default: 300 }),
  RATE_SERVICE_CALLS_PER_MINUTE: perMinute({ default: 0 }),
  TRUSTED_PROXIES: addresses({ default: new BlockList() }),
};

export function rateConfig(env: {
  RATE_WRITES_PER_MINUTE: number;
  RATE_WRITES_BURST: number;
  RATE_FAILED_TOKENS_PER_MINUTE: number;
  RATE_SERVICE_CALLS_PER_MINUTE: number;
  TRUSTED_PROXIES: BlockList;
}): RateConfig {
  return Object.freeze({
    writesPerMinute: env.RATE_WRITES_PER_MINUTE,
    writesBurst: env.RATE_WRITES_BURST,
    failedTokensPerMinute: env.RATE_FAILED_TOKENS_PER_MINUTE,
    serviceCallsPerMinute: env.RATE_SERVICE_CALLS_PER_MINUTE,
    trustedProxies: env.TRUSTED_PROXIES,
  });
}
