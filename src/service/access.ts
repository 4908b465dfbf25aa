import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type AccessService,
  Cause,
  type CheckAccessRequest,
  Effect,
  Interaction,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import * as access from "../domain/access.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
import type { FactsQuery } from "../store/access.ts";
import type { CheckBatcher } from "./check-batcher.ts";
import { toUserId } from "./proto-mapping.ts";

/** A query of a request, and what its decision needs from the store. */
interface Check extends access.AccessQuery, FactsQuery {}

type Viewer = CheckAccessRequest["viewer"];

/** Decides for other services whether a viewer may do something with regard to an owner. */
export function accessHandlers(
  facts: CheckBatcher<FactsQuery, access.RelationshipFacts>,
): Omit<ServiceImpl<typeof AccessService>, "listHiddenUsers"> {
  async function decide(checks: readonly Check[], context: HandlerContext): Promise<access.Decision[]> {
    const found = await facts.load(checks, context.signal);
    return checks.map((check, i) => decision(check, found[i]));
  }

  // Not async functions where requests are large: those would keep the request for as long as the call waits.
  return {
    async checkAccess(request, context) {
      const [decided = access.unknownUser] = await decide(toChecks([request]), context);
      if (decided.cause === "UNKNOWN_USER") throw new PrivacyError("USER_NOT_FOUND");
      return toMessage(decided);
    },

    batchCheckAccess({ checks }, context) {
      return decide(toChecks(checks), context).then((decisions) => ({ results: decisions.map(toMessage) }));
    },

    filterUsers({ viewer, ownerIds, interaction }, context) {
      const [from, wanted] = [toViewer(viewer), toInteraction(interaction)];
      const checks = ownerIds.map((ownerId) => checkOf(from, toUserId(ownerId), wanted));
      return decide(checks, context).then((decisions) => ({
        ownerIds: checks.filter((_, i) => decisions[i]?.effect === "ALLOW").map(({ owner }) => owner),
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
  const { mute, audience } = access.decisionTable[interaction];
  return { viewer, owner, mute: mute !== "ALLOW", setting: audience, interaction };
}

function toViewer(viewer: Viewer): UserId | null {
  if (viewer.case === "viewerId") return toUserId(viewer.value);
  if (viewer.case === "signedOut" && viewer.value) return null;
  throw new PrivacyError("INVALID_REQUEST");
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

function toMessage({ effect, cause }: access.Decision) {
  return { effect: Effect[effect], cause: cause === null ? Cause.UNSPECIFIED : Cause[cause] };
}
