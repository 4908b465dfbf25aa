import { ROOT_CONTEXT, SpanKind, SpanStatusCode, type Tracer, trace } from "@opentelemetry/api";
import type { Active, ActiveSpans } from "./active.ts";

/** As many links as a span keeps. */
const maxLinks = 128;

/** Makes a client span for each statement that is sent for a call. Its text and its values stay out. */
export class StatementSpans {
  readonly #tracer: Tracer;
  readonly #active: ActiveSpans;

  constructor(tracer: Tracer, active: ActiveSpans) {
    this.#tracer = tracer;
    this.#active = active;
  }

  /** Runs a statement of an operation, `select` say. What no call asked for has no span. */
  async statement<T>(operation: string, work: () => Promise<T>): Promise<T> {
    const active = this.#active.getStore();
    if (active === undefined) return work();
    const attributes = { "db.system.name": "postgresql", "db.operation.name": operation };
    const span = this.#tracer.startSpan(
      operation,
      { kind: SpanKind.CLIENT, attributes, links: [...active.links] },
      trace.setSpan(ROOT_CONTEXT, active.parent),
    );
    try {
      return await work();
    } catch (failure) {
      span.setAttribute("error.type", typeOf(failure));
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw failure;
    } finally {
      span.end();
    }
  }

  /** What a statement belongs to that would be sent now. */
  current(): Active | undefined {
    return this.#active.getStore();
  }

  /**
   * Runs the statement that several calls share. A span has one parent: the first call whose trace is kept, so that a
   * lone check shows its statement; the others are linked, which is how they find it.
   */
  shared<T>(callers: readonly (Active | undefined)[], work: () => T): T {
    const spans = callers.flatMap((caller) => (caller === undefined ? [] : [caller.parent]));
    const parent = spans.find((span) => span.isRecording()) ?? spans[0];
    if (parent === undefined) return this.#active.run(undefined, work);
    const others = spans.filter((span) => span !== parent).slice(0, maxLinks);
    return this.#active.run({ parent, links: others.map((span) => ({ context: span.spanContext() })) }, work);
  }
}

/** The SQLSTATE or the system's code, which say nothing of the values. */
function typeOf(failure: unknown): string {
  if (failure instanceof Error && "code" in failure && typeof failure.code === "string") return failure.code;
  return failure instanceof Error ? failure.name : "unknown";
}
