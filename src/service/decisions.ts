import { setImmediate as nextTurn } from "node:timers/promises";
import { type AccessQuery, type Decision, decideAccess, unknownUser } from "../domain/access.ts";
import type { ConsistencyToken, DatabaseState } from "../domain/consistency.ts";
import { type FactsOfState, type FactsQuery, factsQuery } from "../store/access.ts";
import type { CheckBatcher } from "./check-batcher.ts";
import type { RelationshipIndex } from "./relationship-index.ts";

/** How current decisions must be. By default, nothing that was acknowledged before the call may be missing. */
export type Freshness =
  | { readonly atLeast: ConsistencyToken; readonly maxStalenessMs?: never }
  | { readonly maxStalenessMs: number; readonly atLeast?: never }
  | { readonly atLeast?: never; readonly maxStalenessMs?: never };

/** The decisions of some queries, in their order, and the states of the database that they rest on. */
export interface Decisions {
  readonly decisions: readonly Decision[];
  readonly states: readonly DatabaseState[];
}

/** Decides queries. */
export interface DecisionSource {
  decide(queries: readonly AccessQuery[], freshness: Freshness, signal: AbortSignal): Promise<Decisions>;
}

/** Decides by statements that read the tables after the call: fully consistent, whatever is asked for. */
export class TableDecisions implements DecisionSource {
  readonly #facts: CheckBatcher<FactsQuery, FactsOfState>;

  constructor(facts: CheckBatcher<FactsQuery, FactsOfState>) {
    this.#facts = facts;
  }

  async decide(queries: readonly AccessQuery[], _: Freshness, signal: AbortSignal): Promise<Decisions> {
    const found = await this.#facts.load(queries.map(factsQuery), signal);
    // A missing answer of the store is the strictest decision.
    const decisions = queries.map((query, i) => (found[i] ? decideAccess(query, found[i]) : unknownUser));
    // One statement read them all.
    return { decisions, states: found.slice(0, 1).map(({ state }) => state) };
  }
}

/** A graph that is older than this does not satisfy a token, in milliseconds: the replica may be cut off. */
const maxTokenAgeMs = 60_000;
/** So many queries are decided before other events are handled. */
const queriesPerTurn = 250;

type CurrentGraph = Pick<RelationshipIndex, "confirm" | "decideAll" | "includes" | "state" | "ageMs">;

/** Decides from memory what the graph can, as current as asked for, and the rest by the tables. */
export class GraphDecisions implements DecisionSource {
  readonly #index: CurrentGraph;
  readonly #tables: DecisionSource;

  constructor(index: CurrentGraph, tables: DecisionSource) {
    this.#index = index;
    this.#tables = tables;
  }

  async decide(
    queries: readonly AccessQuery[],
    freshness: Freshness,
    signal: AbortSignal,
  ): Promise<Decisions> {
    if (!this.#isFresh(freshness) && !(await this.#index.confirm(signal)))
      return this.#tables.decide(queries, freshness, signal);
    const decisions: Decision[] = [];
    const states: DatabaseState[] = [];
    const undecided: number[] = [];
    for (let from = 0; from < queries.length; from += queriesPerTurn) {
      if (from > 0) {
        await nextTurn();
        signal.throwIfAborted();
      }
      const { state } = this.#index;
      const decided = this.#index.decideAll(queries.slice(from, from + queriesPerTurn));
      for (const [n, decision] of decided.entries()) {
        if (decision === undefined) undecided.push(from + n);
        else if (state !== undefined && state !== states.at(-1)) states.push(state);
        decisions.push(decision ?? unknownUser);
      }
    }
    if (undecided.length === 0) return { decisions, states };
    const rest = undecided.map((i) => queries[i] as AccessQuery);
    const byTables = await this.#tables.decide(rest, freshness, signal);
    for (const [n, i] of undecided.entries()) decisions[i] = byTables.decisions[n] ?? unknownUser;
    return { decisions, states: [...states, ...byTables.states] };
  }

  /** Whether the graph is as current as asked for already. */
  #isFresh({ atLeast, maxStalenessMs }: Freshness): boolean {
    if (atLeast !== undefined) return this.#index.ageMs <= maxTokenAgeMs && this.#index.includes(atLeast);
    return maxStalenessMs !== undefined && this.#index.ageMs <= maxStalenessMs;
  }
}
