import type { Change } from "../domain/changes.ts";
import { hasEnded, type Snapshot } from "../domain/consistency.ts";
import type { RelationshipGraph } from "../graph/relationship-graph.ts";

/** What undoes a change. */
interface Undo {
  /** The transaction of the change; undefined when it is not known. */
  readonly xid: bigint | undefined;
  /** What held of its key before; undefined when it cannot be had again. */
  readonly before: Change | undefined;
}

/** With more than this to undo, changes are not taken back any more. */
const maxUndos = 200_000;

/**
 * Applies changes to a graph, and can take back those that are not settled. What a session of the server showed may be
 * lost with it; what a stored tick sees is not.
 */
export class GraphJournal {
  readonly graph: RelationshipGraph;
  #undos: Undo[] = [];

  constructor(graph: RelationshipGraph) {
    this.graph = graph;
  }

  /** Applies a change of a transaction, in the order of the versions. */
  apply(change: Change, xid?: bigint): void {
    const before = this.#undos.length < maxUndos ? this.#undoOf(change) : undefined;
    const last = this.#undos.at(-1);
    if (before !== undefined || last === undefined || last.before !== undefined || last.xid !== xid)
      this.#undos.push({ xid, before });
    this.graph.apply(change);
  }

  #undoOf(change: Change): Change | undefined {
    const before = this.graph.current(change);
    // Everything that named an erased user is gone.
    const isErasure = change.kind === "user" && !change.present && before.kind === "user" && before.present;
    return isErasure ? undefined : before;
  }

  /** Whether there is nothing to take back. */
  get isSettled(): boolean {
    return this.#undos.length === 0;
  }

  /** Settles all changes, or all but those of transactions that a stored tick does not see. */
  settle(snapshot?: Snapshot): void {
    this.#undos =
      snapshot === undefined
        ? []
        : this.#undos.filter(({ xid }) => xid !== undefined && !hasEnded(snapshot, xid));
  }

  /** Whether what is not settled can be taken back. */
  get isReversible(): boolean {
    return this.#undos.every(({ before }) => before !== undefined);
  }

  /** Takes back what is not settled. Returns false when that cannot be done: the graph is of no use then. */
  rollBack(): boolean {
    for (const { before } of this.#undos.reverse()) {
      if (before === undefined) return false;
      this.graph.apply(before);
    }
    this.#undos = [];
    return true;
  }
}
