import { createContextKey } from "@connectrpc/connect";

/**
 * Ends a call with a failure, and its stream without it: for one whose client takes nothing, so that no status would reach
 * it. A client of HTTP/2 that reads on finds that the stream was reset, as `UNAVAILABLE`.
 */
export type CutOff = (failure: unknown) => void;

/** Set on the calls that Connect serves. */
export const cutOffKey = createContextKey<CutOff>(() => {}, { description: "cut off" });

/** For how long the client of a stream may leave a message, and for how long when the service stops, in milliseconds. */
export interface DeliveryLimits {
  readonly ms: number;
  readonly whenStoppingMs: number;
}

/** Watches that the client of a stream takes what it is sent. */
export class DeliveryWatch {
  readonly #cutOff: () => void;
  readonly #limits: DeliveryLimits;
  #timer: NodeJS.Timeout | undefined;
  #isStopping = false;

  /** Calls `cutOff` when a message is left. */
  constructor(cutOff: () => void, limits: DeliveryLimits) {
    this.#cutOff = cutOff;
    this.#limits = limits;
  }

  /** To be called before a message is sent. */
  sent(): void {
    const { ms, whenStoppingMs } = this.#limits;
    this.#timer = setTimeout(this.#cutOff, this.#isStopping ? whenStoppingMs : ms);
  }

  /** To be called when the message was taken. */
  taken(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** To be called when the service stops. */
  stop(): void {
    this.#isStopping = true;
    if (this.#timer === undefined) return;
    this.taken();
    this.sent();
  }
}
