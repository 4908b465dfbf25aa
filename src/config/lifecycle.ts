import { milliseconds, wholeNumber } from "./validators.ts";

/** In production a balancer must have seen that the service stops before connections are refused. */
const productionDelayMs = 5_000;

/** The longest known idle timeout of a balancer is 600 s (Google Cloud's), and it must close first. */
const keepAliveSeconds = 620;

export const lifecycleVariables = {
  DRAIN_DELAY_MS: milliseconds({ default: undefined }),
  KEEP_ALIVE_SECONDS: wholeNumber("seconds", 1, 86_400)({ default: keepAliveSeconds }),
};

/** How long the service goes on after a signal, in milliseconds. */
export function drainDelayMs(env: { DRAIN_DELAY_MS: number | undefined }, production: boolean): number {
  return env.DRAIN_DELAY_MS ?? (production ? productionDelayMs : 0);
}
