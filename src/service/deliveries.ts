import type { Statement } from "./coalesced-statement.ts";

type Parts<Question, Fact> = Statement<Question, Fact>["parts"];

/** What a statement found, and how much of it its callers have. */
interface Due<Question, Fact> {
  readonly parts: Parts<Question, Fact>;
  readonly facts: readonly Fact[];
  nextPart: number;
  nextFact: number;
}

/**
 * Gives callers the facts that statements found, in the order in which they were found. After a number of facts it lets
 * other things happen: to answer callers takes time, and calls that come meanwhile are not even refused.
 */
export class Deliveries<Question, Fact> {
  readonly #factsPerTurn: number;
  readonly #due: Due<Question, Fact>[] = [];

  constructor(factsPerTurn: number) {
    this.#factsPerTurn = factsPerTurn;
  }

  /** Gives the parts of a statement what it found, now or in later turns of the event loop. */
  add(parts: Parts<Question, Fact>, facts: readonly Fact[]): void {
    this.#due.push({ parts, facts, nextPart: 0, nextFact: 0 });
    if (this.#due.length === 1) this.#deliver();
  }

  #deliver(): void {
    let left = this.#factsPerTurn;
    for (let first = this.#due[0]; first !== undefined; first = this.#due[0]) {
      while (first.nextPart < first.parts.length) {
        if (left <= 0) {
          setImmediate(() => this.#deliver());
          return;
        }
        left -= deliverNext(first);
      }
      this.#due.shift();
    }
  }
}

/** Gives the next caller its facts and returns how many they are. */
function deliverNext<Question, Fact>(due: Due<Question, Fact>): number {
  const { caller, from, to } = due.parts[due.nextPart++] as Parts<Question, Fact>[number];
  for (let i = from; i < to; i++) caller.facts[i] = due.facts[due.nextFact++] as Fact;
  caller.answered += to - from;
  if (caller.answered === caller.questions.length) caller.finish();
  return to - from;
}
