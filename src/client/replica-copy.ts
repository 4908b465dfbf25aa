import type { WatchChangesResponse } from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import type { Change } from "../domain/changes.ts";
import { RelationshipGraph } from "../graph/relationship-graph.ts";
import { microsOf, readChange } from "./replica-changes.ts";
import { nextTurn } from "./replica-timers.ts";

/** So many changes are applied before other events are handled: some milliseconds. */
const changesPerTurn = 2_000;
/** So many changes of one moment are kept back at most until it is complete: some 30 MB. */
const maxKeptBack = 100_000;

/**
 * A copy of what decisions rest on, as the messages of the service make it. The changes of one moment may come in several
 * messages: they are kept back until it is complete, so that the copy goes from one state of the tables to a later one.
 */
export class ReplicaCopy {
  readonly graph: RelationshipGraph;
  /** Where to resume; undefined before the first message. */
  cursor: string | undefined;
  changes = 0;
  #keptBack: Change[] = [];
  /** How many of these are applied. */
  #applied = 0;
  #throughMicros: number | undefined;
  /** Up to when nothing came after the cursor of the copy, as far as that was asked since the stream began. */
  #confirmedMicros = Number.NEGATIVE_INFINITY;
  /** The time of the last message of the stream. */
  #toldMicros = Number.NEGATIVE_INFINITY;
  #hasState = false;

  constructor(keepsFollows: boolean) {
    this.graph = new RelationshipGraph({ follows: keepsFollows });
  }

  /**
   * The time of the state that the copy has, by the clock of the database, in microseconds since 1970. Undefined while it has
   * none: during the snapshot, while the changes of a moment are applied that are too many for one turn, and after one that failed.
   */
  get throughMicros(): number | undefined {
    return this.#hasState ? this.#throughMicros : undefined;
  }

  /** Whether the snapshot was complete once. */
  get isLoaded(): boolean {
    return this.#throughMicros !== undefined;
  }

  /** The next message is one of another stream: only those of one stream go back in time with the clock alone. */
  beginStream(): void {
    this.#confirmedMicros = Number.NEGATIVE_INFINITY;
    this.#toldMicros = Number.NEGATIVE_INFINITY;
  }

  /** Nothing came after a cursor up to a time. Says nothing when the copy is at another place, or within a moment. */
  confirm(cursor: string, throughMicros: number): void {
    const isAtCursor = this.#hasState && this.#keptBack.length === 0 && this.cursor === cursor;
    if (!isAtCursor || throughMicros <= (this.#throughMicros ?? 0)) return;
    this.#throughMicros = throughMicros;
    this.#confirmedMicros = throughMicros;
  }

  /** Takes the next message. Rejects when it cannot be applied: then the copy is of no use any more. */
  async take({ changes, cursor, complete, through }: WatchChangesResponse): Promise<void> {
    this.changes += changes.length;
    for (const message of changes) {
      const change = readChange(message);
      if (change !== undefined) this.#keptBack.push(change);
    }
    const isKeptBack = !complete && this.#hasState && this.#keptBack.length <= maxKeptBack;
    if (!isKeptBack) {
      // Until all are applied: one that fails leaves a part of them.
      this.#hasState = false;
      if (this.#keptBack.length > changesPerTurn) await this.#applyInTurns();
      this.#applyNext(changesPerTurn);
    }
    if (complete) {
      // In the turn in which the last changes were applied.
      if (through === undefined) throw new Error("a complete message has no time");
      const toldMicros = Number(microsOf(through));
      // The clock of the database was set back.
      if (toldMicros < this.#toldMicros) this.#confirmedMicros = Number.NEGATIVE_INFINITY;
      this.#toldMicros = toldMicros;
      this.#throughMicros = Math.max(toldMicros, this.#confirmedMicros);
      this.#hasState = true;
    }
    this.cursor = cursor;
  }

  /** Applies all but the last of what was kept back. In between the copy has a part of it, which is no state. */
  async #applyInTurns(): Promise<void> {
    while (this.#keptBack.length - this.#applied > changesPerTurn) {
      this.#applyNext(changesPerTurn);
      await nextTurn();
    }
  }

  #applyNext(count: number): void {
    const end = Math.min(this.#keptBack.length, this.#applied + count);
    for (; this.#applied < end; this.#applied++) this.graph.apply(this.#keptBack[this.#applied] as Change);
    if (end < this.#keptBack.length) return;
    this.#keptBack = [];
    this.#applied = 0;
  }
}
