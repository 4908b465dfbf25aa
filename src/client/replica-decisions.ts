import { type Decision, decisionTable, type Interaction } from "../domain/access.ts";
import type { Change } from "../domain/changes.ts";
import type { EdgeTerms } from "../domain/edges.ts";
import type { ExplainedFacts } from "../domain/explanation.ts";
import { mapSettings } from "../domain/settings.ts";
import { parseUserId, type UserId } from "../domain/users.ts";
import type { RelationshipGraph } from "../graph/relationship-graph.ts";
import { FollowsNotKeptError } from "./replica-types.ts";

/** What a user is in a query. */
type Role = "viewer" | "owner";

const interactions = new Set<string>(Object.keys(decisionTable));

/** Throws for what no call of this language can be, but one of JavaScript. */
export function assertInteraction(interaction: Interaction): void {
  if (!interactions.has(interaction)) throw new TypeError(`there is no interaction ${interaction}`);
}

/** Reads the id of a user in a role. Throws a `TypeError` for what is no UUID. */
export function readId(text: string, role: Role): UserId {
  const id = typeof text === "string" ? parseUserId(text) : undefined;
  if (id === undefined) throw new TypeError(`the ${role} is no UUID`);
  return id;
}

const upperCase = /[A-F]/;

/** The id of a text that is one. */
export function lowerCase(id: string): string {
  return upperCase.test(id) ? id.toLowerCase() : id;
}

/**
 * Decides a query as of a time, in microseconds since 1970. Throws a `TypeError` for an id that is no UUID, and a
 * `FollowsNotKeptError`.
 */
export function decide(
  graph: RelationshipGraph,
  nowMicros: number,
  viewer: string | null,
  owner: string,
  interaction: Interaction,
): Decision {
  if (viewer !== null) assertText(viewer, "viewer");
  assertText(owner, "owner");
  const query = { viewer: viewer as UserId | null, owner: owner as UserId, interaction };
  let decision = graph.decide(query, nowMicros);
  // To the graph, what is no id in lower case is an unknown user.
  if (decision?.cause === "UNKNOWN_USER") {
    const from = viewer === null ? null : readId(viewer, "viewer");
    decision = graph.decide({ viewer: from, owner: readId(owner, "owner"), interaction }, nowMicros);
  }
  if (decision === undefined) throw new FollowsNotKeptError();
  return decision;
}

/** Decides about owners as `decide` does, in their order; when they are many, in less time. */
export function decideAll(
  graph: RelationshipGraph,
  nowMicros: number,
  viewer: string | null,
  owners: readonly string[],
  interaction: Interaction,
): Decision[] {
  if (viewer !== null) assertText(viewer, "viewer");
  for (const owner of owners) assertText(owner, "owner");
  const queries = owners.map((owner) => ({
    viewer: viewer as UserId | null,
    owner: owner as UserId,
    interaction,
  }));
  return graph
    .decideAll(queries, nowMicros)
    .map((decision, at) =>
      decision === undefined || decision.cause === "UNKNOWN_USER"
        ? decide(graph, nowMicros, viewer, owners[at] as string, interaction)
        : decision,
    );
}

function assertText(id: string, role: Role): void {
  if (typeof id !== "string") readId(id, role);
}

/** The facts about a viewer and an owner as of a time, in microseconds since 1970. */
export function factsOf(
  graph: RelationshipGraph,
  nowMicros: number,
  viewer: UserId | null,
  owner: UserId,
): ExplainedFacts<EdgeTerms> {
  const base = { version: 0n, cause: null, changedAt: null } as const;
  const isKnown = (user: UserId | null) =>
    user !== null && isPresent(graph.current({ ...base, kind: "user", owner: user, present: true }));
  const [viewerKnown, ownerKnown] = [isKnown(viewer), isKnown(owner)];
  const terms = (
    kind: "block" | "mute" | "follow",
    from: UserId | null,
    to: UserId | null,
  ): EdgeTerms | null => {
    if (from === null || to === null || !viewerKnown || !ownerKnown) return null;
    const change = graph.current({ ...base, kind, owner: from, target: to, edge: null });
    const edge = "edge" in change ? change.edge : null;
    if (edge === null || (edge.expiresAt !== null && Number(edge.expiresAt) <= nowMicros)) return null;
    return { expiresAt: edge.expiresAt, scopes: edge.scopes };
  };
  const settings = mapSettings((setting) => {
    const chosen = graph.current({ ...base, kind: "setting", owner, setting, audience: null });
    const key = { ...base, kind: "exception", owner, setting, present: false } as const;
    return {
      audience: ("audience" in chosen ? chosen.audience : null) ?? "none",
      excepted: viewer !== null && viewerKnown && isPresent(graph.current({ ...key, target: viewer })),
    };
  });
  return {
    viewerKnown,
    ownerKnown,
    blocking: terms("block", viewer, owner),
    blockedBy: terms("block", owner, viewer),
    muting: terms("mute", viewer, owner),
    contact: terms("follow", owner, viewer),
    settings: ownerKnown ? settings : null,
    readAt: BigInt(nowMicros),
  };
}

function isPresent(change: Change): boolean {
  return "present" in change && change.present;
}
