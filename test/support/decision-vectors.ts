import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type AnsweredQuestion, answeredQuestions } from "../../scripts/decision-vectors.ts";
import type * as access from "../../src/domain/access.ts";
import type * as changes from "../../src/domain/changes.ts";
import type * as settings from "../../src/domain/settings.ts";
import type { UserId } from "../../src/domain/users.ts";

/** Where the decision table is published. */
export const decisionTablePath = fileURLToPath(new URL("../../docs/decision-table.json", import.meta.url));

/** The decision table as consumers read it. */
interface PublishedTable {
  readonly vocabulary: Readonly<Record<string, readonly string[]>>;
  /** One for each answer. */
  readonly vectors: readonly AnsweredQuestion[];
}

export function readDecisionTable(): PublishedTable {
  const { vocabulary, vectors } = JSON.parse(readFileSync(decisionTablePath, "utf8"));
  return { vocabulary, vectors: answeredQuestions(vectors) };
}

/** The modules that decide. */
export interface Evaluator {
  readonly access: Pick<typeof access, "decideAccess" | "decisionTable">;
  readonly changes: Pick<typeof changes, "muteScopes">;
  readonly settings: Pick<typeof settings, "defaultAudience">;
}

/** What an evaluator is asked by a vector. */
export function askedBy(
  { interaction, viewer, facts }: AnsweredQuestion,
  evaluator: Evaluator,
): { query: access.AccessQuery; facts: access.RelationshipFacts } {
  const [someone, owner] = ["viewer", "owner"] as UserId[] as [UserId, UserId];
  const { audience: setting, muteScope } = evaluator.access.decisionTable[interaction];
  const { muteScopes } = evaluator.changes;
  const covered = facts.muting?.scopes?.map((scope) => muteScopes[scope]) ?? Object.values(muteScopes);
  const holds = (edge: { expires_in_micros?: number } | undefined) =>
    edge !== undefined && (edge.expires_in_micros ?? 1) > 0;
  return {
    query: { interaction, owner, viewer: { signed_in: someone, signed_out: null, self: owner }[viewer] },
    facts: {
      known: facts.owner_unknown === undefined && facts.viewer_unknown === undefined,
      blocking: holds(facts.blocking),
      blockedBy: holds(facts.blocked_by),
      muting: holds(facts.muting) && covered.some((scope) => (scope & muteScope) !== 0),
      audience:
        (setting === null ? undefined : facts.settings?.[setting]) ?? evaluator.settings.defaultAudience,
      contact: facts.contact === true,
      excepted: setting !== null && facts.exceptions?.includes(setting) === true,
    },
  };
}

/** The names of the vectors that an evaluator contradicts. */
export function contradicted(vectors: readonly AnsweredQuestion[], evaluator: Evaluator): string[] {
  return vectors
    .filter((vector) => {
      const { query, facts } = askedBy(vector, evaluator);
      const { effect, cause } = evaluator.access.decideAccess(query, facts);
      return effect !== vector.effect || cause !== vector.cause;
    })
    .map(({ name }) => name);
}
