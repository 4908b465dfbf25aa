import {
  type Attributes,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { StatementTracer } from "../store/executor.ts";
import type { StatementKind } from "../store/statement.ts";
import { type Active, type ActiveSpans, serverAddress } from "./call-spans.ts";

/** As many links as a span keeps. */
const maxLinks = 128;

/** An SQLSTATE, as opposed to a system error code (`EPIPE`). */
const sqlState = /^(?:\d.|F0|HV|P0|XX)[\dA-Z]{3}$/;

/** Makes a client span for each statement that is sent for a call. Its text and its values stay out. */
export class StatementSpans implements StatementTracer {
  readonly #tracer: Tracer;
  readonly #active: ActiveSpans;
  readonly #database: Attributes;

  /** `database`: what every span says of the database. */
  constructor(tracer: Tracer, active: ActiveSpans, database: Attributes) {
    this.#tracer = tracer;
    this.#active = active;
    this.#database = database;
  }

  /** Runs a statement. It has a span only when it belongs to a call. */
  async statement<T>({ operation, tables }: StatementKind, work: () => Promise<T>): Promise<T> {
    const active = this.#active.getStore();
    if (active === undefined) return work();
    const [table, ...more] = tables;
    const summary = [operation, ...tables].join(" ");
    const attributes = {
      ...this.#database,
      "db.operation.name": operation,
      "db.query.summary": summary,
      ...(table !== undefined && more.length === 0 && { "db.collection.name": table }),
    };
    const span = this.#tracer.startSpan(
      summary,
      { kind: SpanKind.CLIENT, attributes, links: [...active.links] },
      trace.setSpan(ROOT_CONTEXT, active.parent),
    );
    try {
      return await work();
    } catch (failure) {
      const type = typeOf(failure);
      span.setAttribute("error.type", type);
      if (sqlState.test(type)) span.setAttribute("db.response.status_code", type);
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw failure;
    } finally {
      span.end();
    }
  }

  /** The calls for which a statement would be sent now. */
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

/**
 * The attributes of every statement's span that describe the database of a URL: its name and server, never its user.
 * Without a URL, for the embedded database, only that it is a PostgreSQL.
 */
export function databaseAttributes(url: string | undefined): Attributes {
  const system = { "db.system.name": "postgresql" };
  const parsed = url === undefined ? null : URL.parse(url);
  if (parsed === null) return system;
  const name = decoded(parsed.pathname.slice(1));
  const socket = parsed.searchParams.get("host");
  const server = socket === null ? serverAddress(parsed.href) : { "server.address": socket };
  return { ...system, ...(name !== "" && { "db.namespace": name }), ...server };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
