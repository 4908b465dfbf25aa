import {
  type AccessQuery,
  type Decision,
  decideAccess,
  decisionTable,
  type Interaction,
  type RelationshipFacts,
} from "../domain/access.ts";
import type { UserId } from "../domain/users.ts";

/** The queries that one audit compares. */
export const auditedQueries = 100;

/** Of so many queries one is kept for the next audit. */
const sampling = 64;
const interactions = Object.keys(decisionTable) as Interaction[];

/** Chooses the queries by which a graph is compared with the tables: edges of the tables, and what callers ask about. */
export class GraphAudit {
  readonly #asked: AccessQuery[] = [];
  #count = 0;

  /** Notes a query of a caller. */
  note(query: AccessQuery): void {
    if (this.#count++ % sampling !== 0) return;
    this.#asked[(this.#count >> 6) % auditedQueries] = query;
  }

  /** The queries of an audit, from pairs of users who have an edge in the tables, and from noted ones. */
  queries(edges: readonly { readonly owner: UserId; readonly target: UserId }[]): AccessQuery[] {
    const ofEdges = edges.map(({ owner, target }, n): AccessQuery => {
      const [viewer, other] = n % 2 === 0 ? [owner, target] : [target, owner];
      return { viewer, owner: other, interaction: anyInteraction() };
    });
    const noted = this.#asked.filter((query) => query !== undefined);
    return [...shuffled(ofEdges), ...noted].slice(-auditedQueries);
  }
}

/** How many decisions differ from those by the facts of the tables. A decision that the graph does not make counts as equal. */
export function differences(
  queries: readonly AccessQuery[],
  facts: readonly RelationshipFacts[],
  decide: (query: AccessQuery) => Decision | undefined,
): number {
  return queries.filter((query, n) => {
    const found = facts[n];
    const decision = decide(query);
    if (found === undefined) return true;
    if (decision === undefined) return false;
    const expected = decideAccess(query, found);
    return decision.effect !== expected.effect || decision.cause !== expected.cause;
  }).length;
}

function anyInteraction(): Interaction {
  return interactions[Math.floor(Math.random() * interactions.length)] as Interaction;
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
