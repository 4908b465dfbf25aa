import { AsyncLocalStorage } from "node:async_hooks";
import type { Link, Span } from "@opentelemetry/api";

/** What a statement belongs to that is sent now. */
export interface Active {
  readonly parent: Span;
  /** The other calls for which it is sent. */
  readonly links: readonly Link[];
}

/** Carries it from a call to its statements. */
export type ActiveSpans = AsyncLocalStorage<Active | undefined>;

export const newActiveSpans = (): ActiveSpans => new AsyncLocalStorage();
