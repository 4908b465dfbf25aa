import type { SequentialModel } from "./linearizability.ts";

/** The actions that change something. `blockForADay` and `endInADay` give a block an expiry, `keepForGood` takes it away. */
const changing = [
  "follow",
  "unfollow",
  "block",
  "blockForADay",
  "endInADay",
  "keepForGood",
  "unblock",
  "muteContent",
  "muteNotificationsInstead",
  "unmute",
] as const;
export const actions = [...changing, "check", "read"] as const;
export type Action = (typeof actions)[number];

export const changes: ReadonlySet<Action> = new Set(changing);

/** An action of one user of a pair with regard to the other. */
export interface PairCall {
  readonly action: Action;
  /** By the first user of the pair, with regard to the second. */
  readonly forward: boolean;
}

/** The facts of a pair as bits of a state, from the view of the first user. */
export const facts = {
  following: 1,
  followedBy: 2,
  blocking: 4,
  blockedBy: 8,
  blockingExpires: 16,
  blockedByExpires: 32,
  mutingContent: 64,
  mutedByContent: 128,
  mutingNotifications: 256,
  mutedByNotifications: 512,
} as const;
export type Fact = keyof typeof facts;

/** The relationship of two users, as the service promises it to sequential callers. */
export const pairModel: SequentialModel<PairCall> = {
  states: 1_024,
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

const muting = facts.mutingContent | facts.mutingNotifications;

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
    case "blockForADay":
      if ((state & facts.blocking) !== 0) return { state, result: "USER_ALREADY_BLOCKED" };
      return act(act(state, "block").state, "endInADay");
    case "endInADay":
      if ((state & facts.blocking) === 0) return { state, result: "USER_NOT_BLOCKED" };
      return { state: state | facts.blockingExpires, result: "OK" };
    case "keepForGood":
      if ((state & facts.blocking) === 0) return { state, result: "USER_NOT_BLOCKED" };
      return { state: state & ~facts.blockingExpires, result: "OK" };
    case "unblock":
      return { state: state & ~(facts.blocking | facts.blockingExpires), result: "OK" };
    case "muteContent":
      if ((state & muting) !== 0) return { state, result: "USER_ALREADY_MUTED" };
      return { state: state | facts.mutingContent, result: "OK" };
    case "muteNotificationsInstead":
      if ((state & muting) === 0) return { state, result: "USER_NOT_MUTED" };
      return { state: (state & ~muting) | facts.mutingNotifications, result: "OK" };
    case "unmute":
      return { state: state & ~muting, result: "OK" };
    case "check":
      if ((state & facts.blocking) !== 0) return { state, result: "DENY BLOCKING" };
      return { state, result: across ? "DENY BLOCKED_BY" : "ALLOW UNSPECIFIED" };
    case "read":
      return { state, result: readResult(state) };
  }
}

function mirror(state: number): number {
  return ((state & 0b0101010101) << 1) | ((state & 0b1010101010) >> 1);
}
