import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type AccessService,
  Cause,
  type CheckAccessRequest,
  type Consistency,
  Effect,
  Interaction,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import * as access from "../domain/access.ts";
import type { DatabaseState } from "../domain/consistency.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
import type { FactsOfState, FactsQuery } from "../store/access.ts";
import type { CheckBatcher } from "./check-batcher.ts";
import type { ConsistentReads } from "./consistent-reads.ts";
import { toUserId } from "./proto-mapping.ts";

/** A query of a request, and what its decision needs from the store. */
interface Check extends access.AccessQuery, FactsQuery {}

type Viewer = CheckAccessRequest["viewer"];

interface Decided {
  readonly decisions: readonly access.Decision[];
  readonly consistencyToken: string;
}

/** Decides for other services whether a viewer may do something with regard to an owner. */
export function accessHandlers(
  facts: CheckBatcher<FactsQuery, FactsOfState>,
  reads: ConsistentReads,
): Omit<ServiceImpl<typeof AccessService>, "listHiddenUsers" | "explainAccess"> {
  async function decide(
    checks: readonly Check[],
    consistency: Consistency | undefined,
    { signal }: HandlerContext,
  ): Promise<Decided> {
    const load = () => facts.load(checks, signal);
    const { found, consistencyToken } = await reads.read(consistency, load, statesOf, signal);
    return { decisions: checks.map((check, i) => decision(check, found[i])), consistencyToken };
  }

  // Not async functions where requests are large: those would keep the request for as long as the call waits.
  return {
    async checkAccess(request, context) {
      const answer = await decide(toChecks([request]), request.consistency, context);
      const [decided = access.unknownUser] = answer.decisions;
      if (decided.cause === "UNKNOWN_USER") throw new PrivacyError("USER_NOT_FOUND");
      return { ...toDecisionMessage(decided), consistencyToken: answer.consistencyToken };
    },

    batchCheckAccess({ checks, consistency }, context) {
      if (checks.some((check) => check.consistency !== undefined))
        throw new PrivacyError("INVALID_REQUEST", {
          message: "consistency must be set for the whole batch, not for a check",
        });
      return decide(toChecks(checks), consistency, context).then(({ decisions, consistencyToken }) => ({
        results: decisions.map(toDecisionMessage),
        consistencyToken,
      }));
    },

    filterUsers({ viewer, ownerIds, interaction, consistency }, context) {
      const [from, wanted] = [toViewer(viewer), toInteraction(interaction)];
      const checks = ownerIds.map((ownerId) => checkOf(from, toUserId(ownerId), wanted));
      return decide(checks, consistency, context).then(({ decisions, consistencyToken }) => ({
        ownerIds: checks.filter((_, i) => decisions[i]?.effect === "ALLOW").map(({ owner }) => owner),
        consistencyToken,
      }));
    },
  };
}

function toChecks(requests: readonly CheckAccessRequest[]): Check[] {
  let viewer: UserId | null = null;
  return requests.map((request) => {
    const from = toViewer(request.viewer);
    // Most have the same viewer: one copy of the id is enough.
    if (from !== viewer) viewer = from;
    return checkOf(viewer, toUserId(request.ownerId), toInteraction(request.interaction));
  });
}

function checkOf(viewer: UserId | null, owner: UserId, interaction: access.Interaction): Check {
  const { muteScope, audience } = access.decisionTable[interaction];
  return { viewer, owner, muteScope, setting: audience, interaction };
}

/** Reads the viewer of a validated request; null for one who is not signed in. */
export function toViewer(viewer: Viewer): UserId | null {
  if (viewer.case === "viewerId") return toUserId(viewer.value);
  if (viewer.case === "signedOut" && viewer.value) return null;
  throw new PrivacyError("INVALID_REQUEST");
}

/** The states that facts are of: one for each statement that read some. */
function statesOf(found: readonly FactsOfState[]): DatabaseState[] {
  const states: DatabaseState[] = [];
  for (const { state } of found) if (state !== states.at(-1)) states.push(state);
  return states;
}

/** A missing answer of the store is the strictest decision. */
function decision(check: Check, facts: access.RelationshipFacts | undefined): access.Decision {
  return facts === undefined ? access.unknownUser : access.decideAccess(check, facts);
}

const interactionNames = new Map<Interaction, access.Interaction>(
  (Object.keys(access.decisionTable) as access.Interaction[]).map((name) => [Interaction[name], name]),
);

function toInteraction(value: Interaction): access.Interaction {
  const name = interactionNames.get(value);
  if (name === undefined) throw new PrivacyError("INVALID_REQUEST");
  return name;
}

/** The fields of a decision. */
export function toDecisionMessage({ effect, cause }: access.Decision) {
  return { effect: Effect[effect], cause: cause === null ? Cause.UNSPECIFIED : Cause[cause] };
}
