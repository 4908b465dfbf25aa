import { wholeNumber } from "./validators.ts";

/** How many calls each port works on at once; 0 for any number. */
export interface OverloadConfig {
  readonly publicCalls: number;
  readonly internalCalls: number;
}

const calls = wholeNumber("a number", 0, 1_000_000);

export const overloadVariables = {
  MAX_CALLS_IN_FLIGHT: calls({ default: 200 }),
  // Most of them are decisions, of which many share one statement.
  MAX_SERVICE_CALLS_IN_FLIGHT: calls({ default: 1_000 }),
};

export function overloadConfig(env: {
  MAX_CALLS_IN_FLIGHT: number;
  MAX_SERVICE_CALLS_IN_FLIGHT: number;
}): OverloadConfig {
  return Object.freeze({
    publicCalls: env.MAX_CALLS_IN_FLIGHT,
    internalCalls: env.MAX_SERVICE_CALLS_IN_FLIGHT,
  });
}
