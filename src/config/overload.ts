import { wholeNumber } from "./validators.ts";

/** How many calls may be in flight at once; 0 for any number. */
export interface OverloadConfig {
  /** On the public port. */
  readonly publicCalls: number;
  /** On the internal port. */
  readonly internalCalls: number;
  /** Of one user, on both ports together. */
  readonly perUser: number;
  /** Of one service. */
  readonly perService: number;
}

const calls = wholeNumber("a number", 0, 1_000_000);

export const overloadVariables = {
  MAX_CALLS_IN_FLIGHT: calls({ default: 200 }),
  // Most of them are decisions, of which many share one statement.
  MAX_SERVICE_CALLS_IN_FLIGHT: calls({ default: 1_000 }),
  // A quarter of the connections for changes and lists, and of the lowest adaptive limit.
  MAX_CALLS_IN_FLIGHT_PER_USER: calls({ default: 4 }),
  MAX_CALLS_IN_FLIGHT_PER_SERVICE: calls({ default: 0 }),
};

export function overloadConfig(env: {
  MAX_CALLS_IN_FLIGHT: number;
  MAX_SERVICE_CALLS_IN_FLIGHT: number;
  MAX_CALLS_IN_FLIGHT_PER_USER: number;
  MAX_CALLS_IN_FLIGHT_PER_SERVICE: number;
}): OverloadConfig {
  return Object.freeze({
    publicCalls: env.MAX_CALLS_IN_FLIGHT,
    internalCalls: env.MAX_SERVICE_CALLS_IN_FLIGHT,
    perUser: env.MAX_CALLS_IN_FLIGHT_PER_USER,
    perService: env.MAX_CALLS_IN_FLIGHT_PER_SERVICE,
  });
}
