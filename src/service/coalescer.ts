import type { Cancellation } from "../call/context.ts";
import { overloaded } from "../overload/adaptive-concurrency-limiter.ts";
import {
  type Caller,
  compose,
  type Questions,
  type Statement,
  type StatementLimits,
  unsent,
} from "./coalesced-statement.ts";
import { Deliveries } from "./deliveries.ts";

/** Reads the facts of some questions by one statement, in their order. */
export type ReadMany<Question, Fact> = (questions: Question[], signal: AbortSignal) => Promise<Fact[]>;

/** How questions share statements. */
export interface CoalescerLimits extends StatementLimits {
  /** The most statements under way at once. */
  readonly inFlight: number;
  /** So many calls of one turn are sent before it ends: the database begins while others are still being read. */
  readonly company: number;
  /** A call is refused that finds more questions than this waiting for a statement. */
  readonly waiting: number;
  /** When callers have been given so many facts, the others get theirs in a later turn of the event loop. */
  readonly factsPerTurn: number;
}

/** What watches a coalescer at work. */
export interface CoalescerHooks<Caller = unknown> {
  /** Told of each statement how many questions it has. */
  readonly onSend?: (questions: number) => void;
  /** Ties each statement to the calls for which it is sent. */
  readonly tracer?: SharedTracer<Caller> | undefined;
}

interface SharedTracer<Caller> {
  /** The call that asks now. */
  current(): Caller;
  /** Sends the statement of these calls. */
  shared<T>(callers: readonly Caller[], send: () => T): T;
}

/**
 * Answers the questions of many calls by few statements: those that come in one turn of the event loop share one, or
 * some.
 *
 * Nothing is remembered: a question is sent after it was asked, never joined to a statement under way. A statement
 * that fails fails all of its callers. A caller that goes away takes nobody along: the statement goes on until its
 * last caller has gone.
 */
export class Coalescer<Question, Fact> {
  readonly #read: ReadMany<Question, Fact>;
  readonly #limits: CoalescerLimits;
  readonly #hooks: CoalescerHooks;
  readonly #deliveries: Deliveries<Question, Fact>;
  #waiting: Caller<Question, Fact>[] = [];
  /** Questions that no statement has taken yet. */
  #unsent = 0;
  #inFlight = 0;
  #scheduled = false;

  constructor(read: ReadMany<Question, Fact>, limits: CoalescerLimits, hooks: CoalescerHooks = {}) {
    this.#read = read;
    this.#limits = limits;
    this.#hooks = hooks;
    this.#deliveries = new Deliveries(limits.factsPerTurn);
  }

  /** Calls of which questions are still to be sent. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Whether a call that asks now is refused. */
  get full(): boolean {
    return this.#unsent > this.#limits.waiting;
  }

  /** Statements under way. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * Returns the fact of each question. Rejects with the caller's reason as soon as it goes away, and with
   * `OVERLOADED` when too many are waiting.
   */
  ask(questions: Questions<Question>, gone: Cancellation): Promise<Fact[]> {
    if (gone.aborted) return Promise.reject(gone.reason);
    if (questions.length === 0) return Promise.resolve([]);
    if (this.full) return Promise.reject(overloaded());
    const { promise, resolve, reject } = Promise.withResolvers<Fact[]>();
    const leave = () => caller.fail(gone.reason);
    const caller: Caller<Question, Fact> = {
      questions,
      trace: this.#hooks.tracer?.current(),
      facts: new Array(questions.length),
      statements: new Set(),
      finish: () => {
        gone.removeEventListener("abort", leave);
        resolve(caller.facts);
      },
      fail: (reason) => {
        gone.removeEventListener("abort", leave);
        this.#forget(caller);
        reject(reason);
      },
      sent: 0,
      answered: 0,
    };
    gone.addEventListener("abort", leave);
    this.#waiting.push(caller);
    this.#unsent += questions.length;
    this.#wake();
    return promise;
  }

  #wake(): void {
    // A lone call gains nothing by waiting for company, and many have enough of it.
    if (this.#inFlight === 0 || this.#waiting.length >= this.#limits.company) {
      this.#send();
      return;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  #send(): void {
    while (this.#waiting.length > 0 && this.#inFlight < this.#limits.inFlight) {
      void this.#run(this.#compose());
    }
  }

  #compose(): Statement<Question, Fact> {
    const { statement, size } = compose(this.#waiting, this.#limits);
    this.#unsent -= size;
    this.#waiting = this.#waiting.filter((caller) => unsent(caller) > 0);
    return statement;
  }

  async #run(statement: Statement<Question, Fact>): Promise<void> {
    const { parts, callers, cancel } = statement;
    this.#inFlight++;
    try {
      const questions = parts.flatMap(({ caller, from, to }) => caller.questions.slice(from, to));
      const { onSend, tracer } = this.#hooks;
      onSend?.(questions.length);
      const send = () => this.#read(questions, cancel.signal);
      const facts = await (tracer?.shared(
        [...callers].map(({ trace }) => trace),
        send,
      ) ?? send());
      if (facts.length !== questions.length) throw new Error("a statement answered other than it was asked");
      this.#deliveries.add(parts, facts);
    } catch (failure) {
      for (const caller of callers) caller.fail(failure);
    } finally {
      for (const caller of callers) caller.statements.delete(statement);
      this.#inFlight--;
      this.#send();
    }
  }

  #forget(caller: Caller<Question, Fact>): void {
    if (this.#waiting.includes(caller)) this.#unsent -= caller.questions.length - caller.sent;
    this.#waiting = this.#waiting.filter((other) => other !== caller);
    for (const statement of caller.statements) {
      statement.callers.delete(caller);
      if (statement.callers.size === 0) statement.cancel.abort();
    }
  }
}
