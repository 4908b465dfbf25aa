import type { Transport } from "@connectrpc/connect";
import type { Decision, Interaction } from "../domain/access.ts";
import type { EdgeTerms } from "../domain/edges.ts";
import type { ExplainedDecision, ExplainedFacts } from "../domain/explanation.ts";

export type { Cause, Decision, Effect, Interaction } from "../domain/access.ts";
export type { EdgeTerms } from "../domain/edges.ts";
export type { ExplainedDecision, ExplainedFacts } from "../domain/explanation.ts";

/** The question whether a viewer may do something with regard to an owner. Ids are UUIDs in either case. */
export interface Query {
  /** Null for a signed-out viewer. */
  readonly viewer: string | null;
  readonly owner: string;
  readonly interaction: Interaction;
}

export interface StalenessOptions {
  /** How old the answer may be at most, in milliseconds; by default that of the replica. */
  readonly maxStalenessMs?: number;
}

export interface AskOptions extends StalenessOptions {
  /** Ends the call of the service. */
  readonly signal?: AbortSignal;
  /** How long the call of the service may take, in milliseconds: 5,000 by default. */
  readonly timeoutMs?: number;
}

/** A decision, and how old it is at most: what was acknowledged longer ago is in it. */
export interface Answer extends Decision {
  readonly ageMs: number;
}

/** The owners for whom an interaction is allowed, in lower case, in the order given. */
export interface FilterAnswer {
  readonly ownerIds: string[];
  readonly ageMs: number;
}

/** Every decision about a viewer and an owner, and what they rest on. */
export interface ReplicaExplanation {
  /** `readAt` is the time of the copy. When an edge was made is not known. */
  readonly facts: ExplainedFacts<EdgeTerms>;
  readonly decisions: readonly ExplainedDecision[];
  readonly ageMs: number;
}

/** Where a replica writes what happens to it: a logger of pino, or what looks like one. */
export interface ReplicaLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface ReplicaOptions {
  /**
   * A transport of Connect to the internal port. One over HTTP/2 should have a `pingIntervalMs`: it notices a dead connection by
   * nothing else.
   */
  readonly transport: Transport;
  /** Returns a service token with the scope `changes.read`, for the fallback also `access.read`. Called for each attempt. */
  readonly token: () => string | Promise<string>;
  /** How old answers may be when a call does not say: 5,000 milliseconds by default. */
  readonly maxStalenessMs?: number;
  /** Whether `checkOrAsk` and `filterOrAsk` ask the service: true by default. Without, they refuse as `check` does. */
  readonly fallback?: boolean;
  /**
   * Whether to keep follows: true by default. They are most of the edges; only the audiences `contacts` and
   * `contact_blacklist` depend on them, and what does is refused without.
   */
  readonly keepsFollows?: boolean;
  /**
   * How often the service gives a sign of life, from 100 to 30,000 milliseconds: 1,000 by default. The stream is given up, and
   * resumed, when there is none for four times as long.
   */
  readonly heartbeatMs?: number;
  readonly log?: ReplicaLog;
}

/** What happens to a replica, with what its listeners are told. */
export interface ReplicaEvents {
  /** It answers, for the first time. */
  ready: [];
  /** Its copy has become older than its own `maxStalenessMs`. */
  stale: [detail: { readonly ageMs: number }];
  /** Its copy is as new as that again. */
  fresh: [detail: { readonly ageMs: number }];
  /** It follows again after the stream was cut. */
  reconnected: [];
  /** It answers from a copy that was loaded anew. */
  reloaded: [];
  /** An attempt to follow failed. It goes on trying. */
  failed: [failure: Error];
}

/** The state of a replica in plain numbers. Those whose names end in `Total` only grow. */
export interface ReplicaMetrics {
  /** Known users. */
  readonly users: number;
  /** Blocks, mutes and follows. */
  readonly edges: number;
  /** The size of the copy; of both while it is loaded anew. */
  readonly bytes: number;
  /** How old answers are at most: `Infinity` while there are none. */
  readonly ageMs: number;
  /** 1 while a stream is open that has brought something, else 0. */
  readonly connected: number;
  /** 1 while a snapshot is being loaded, else 0. */
  readonly loading: number;
  readonly changesTotal: number;
  readonly reconnectsTotal: number;
  readonly reloadsTotal: number;
  readonly failuresTotal: number;
  /** Calls that were refused because the copy was too old. */
  readonly refusedTotal: number;
  /** Calls that the service was asked instead. */
  readonly askedTotal: number;
}

/** The copy is older than the caller accepts, or there is none yet: then `ageMs` is `Infinity`. */
export class ReplicaStaleError extends Error {
  override readonly name = "ReplicaStaleError";
  readonly ageMs: number;
  readonly maxStalenessMs: number;

  constructor(ageMs: number, maxStalenessMs: number) {
    const age = ageMs === Number.POSITIVE_INFINITY ? "has no copy" : `is ${Math.ceil(ageMs)} ms old`;
    super(`the replica ${age}, and may be ${maxStalenessMs} ms old`);
    this.ageMs = ageMs;
    this.maxStalenessMs = maxStalenessMs;
  }
}

/** The answer depends on follows, which the replica does not keep. */
export class FollowsNotKeptError extends Error {
  override readonly name = "FollowsNotKeptError";

  constructor() {
    super("the answer depends on follows, which this replica does not keep");
  }
}

/** The replica was closed. */
export class ReplicaClosedError extends Error {
  override readonly name = "ReplicaClosedError";

  constructor() {
    super("the replica is closed");
  }
}
