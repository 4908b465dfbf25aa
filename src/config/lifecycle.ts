import { milliseconds } from "./validators.ts";

/** In production a balancer must have seen that the service stops before connections are refused. */
const productionDelayMs = 5_000;

export const lifecycleVariables = {
  DRAIN_DELAY_MS: milliseconds({ default: undefined }),
};

/** How long the service goes on after a signal, in milliseconds. */
export function drainDelayMs(env: { DRAIN_DELAY_MS: number | undefined }, production: boolean): number {
  return env.DRAIN_DELAY_MS ?? (production ? productionDelayMs : 0);
}
