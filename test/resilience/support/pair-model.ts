import type { SequentialModel } from "./linearizability.ts";

export const actions = ["follow", "unfollow", "block", "unblock", "check", "read"] as const;
export type Action = (typeof actions)[number];

/** The actions that change something. */
export const changes: ReadonlySet<Action> = new Set(["follow", "unfollow", "block", "unblock"]);

/** An action of one user of a pair with regard to the other. */
export interface PairCall {
  readonly action: Action;
  /** By the first user of the pair, with regard to the second. */
  readonly forward: boolean;
}

/** The facts of a pair as bits of a state, from the view of the first user. */
export const facts = { following: 1, followedBy: 2, blocking: 4, blockedBy: 8 } as const;

/** The relationship of two users, as the service promises it to sequential callers. */
export const pairModel: SequentialModel<PairCall> = {
  states: 16,
  run(state, { action, forward }) {
    if (forward) return act(state, action);
    const { state: next, result } = act(mirror(state), action);
    return { state: mirror(next), result };
  },
  isFence: ({ action }) => changes.has(action),
  nameOf: ({ action, forward }) => `${action} ${forward ? ">" : "<"}`,
};

/** The answer of a full read that finds a state, from the view of the user who reads. */
export function readResult(state: number): string {
  const found = Object.entries(facts).filter(([, bit]) => (state & bit) !== 0);
  return found.map(([name]) => name).join(" ") || "nothing";
}

function act(state: number, action: Action): { state: number; result: string } {
  const across = (state & (facts.blocking | facts.blockedBy)) !== 0;
  switch (action) {
    case "follow":
      if (across) return { state, result: "FOLLOW_ACROSS_BLOCK" };
      return { state: state | facts.following, result: "OK" };
    case "unfollow":
      return { state: state & ~facts.following, result: "OK" };
    case "block":
      if ((state & facts.blocking) !== 0) return { state, result: "USER_ALREADY_BLOCKED" };
      return { state: (state | facts.blocking) & ~(facts.following | facts.followedBy), result: "OK" };
    case "unblock":
      return { state: state & ~facts.blocking, result: "OK" };
    case "check":
      if ((state & facts.blocking) !== 0) return { state, result: "DENY BLOCKING" };
      return { state, result: across ? "DENY BLOCKED_BY" : "ALLOW UNSPECIFIED" };
    case "read":
      return { state, result: readResult(state) };
  }
}

function mirror(state: number): number {
  return ((state & 0b0101) << 1) | ((state & 0b1010) >> 1);
}
