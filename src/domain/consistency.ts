/** The transactions that have ended at a moment: those below `next` that are not among `running`. */
export interface Snapshot {
  readonly next: bigint;
  /** Ascending, all below `next`. */
  readonly running: readonly bigint[];
}

/** What a statement on the primary saw. */
export interface DatabaseState {
  readonly kind: "state";
  /**
   * A number that names a run of the server: the time from a start, or from a crash of one of its processes, to the next. Only
   * transaction ids of one run can be compared: after a crash, a failover or a restore an id may name another transaction.
   */
  readonly server: bigint;
  readonly snapshot: Snapshot;
}

/** A committed transaction that changed something, by its rows in the change log. */
interface LoggedWrite {
  readonly kind: "write";
  /** See `DatabaseState`. */
  readonly server: bigint;
  readonly xid: bigint;
  /** When it began, in microseconds since 1970: differs from that of a transaction that was given the same id later. */
  readonly at: bigint;
}

/** What a consistency token names: a write, or the state that a decision or a write without a change rests on. */
export type ConsistencyToken = LoggedWrite | DatabaseState;

/** The result of a write, with the token that names it. */
export interface Written<Result> {
  readonly result: Result;
  readonly token: ConsistencyToken;
}

/** Whether a state certainly has everything that a token names. False also when that cannot be told. */
export function includes(state: DatabaseState, token: ConsistencyToken): boolean {
  if (state.server !== token.server) return false;
  return token.kind === "write"
    ? hasEnded(state.snapshot, token.xid)
    : coversSnapshot(state.snapshot, token.snapshot);
}

/** Whether a transaction had ended at a snapshot. */
export function hasEnded({ next, running }: Snapshot, xid: bigint): boolean {
  return xid < next && !running.includes(xid);
}

/** Whether every transaction that has ended in `earlier` has ended in `later`. */
function coversSnapshot(later: Snapshot, earlier: Snapshot): boolean {
  const known = new Set(earlier.running);
  if (later.running.some((xid) => xid < earlier.next && !known.has(xid))) return false;
  // What `later` does not reach must have been running in `earlier`, all of it.
  const beyond = earlier.running.filter((xid) => xid >= later.next);
  return earlier.next - later.next <= BigInt(beyond.length);
}

/** The least state that includes all of some: undefined when there is none, since they are not of one server. */
export function union(states: readonly DatabaseState[]): DatabaseState | undefined {
  const [first, ...others] = states;
  let all = first;
  for (const { server, snapshot } of others) {
    if (all === undefined || all.server !== server) return undefined;
    const [low, high] = [all.snapshot, snapshot].sort((a, b) => (a.next < b.next ? -1 : 1)) as [
      Snapshot,
      Snapshot,
    ];
    const running = high.running.filter((xid) => !hasEnded(low, xid));
    all = { kind: "state", server, snapshot: { next: high.next, running } };
  }
  return all;
}
