import type { ServiceImpl } from "@connectrpc/connect";
import {
  type AccessService,
  type BatchCheckAccessRequest,
  Cause,
  type CheckAccessRequest,
  Effect,
  Interaction,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { type Cancellation, cancellationOf } from "../call/context.ts";
import * as access from "../domain/access.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { UserId } from "../domain/ids.ts";
import type { FactsQuery } from "../store/access.ts";
import type { Questions } from "./coalesced-statement.ts";
import type { Coalescer } from "./coalescer.ts";
import { toUserId } from "./convert.ts";

/** A query of a request, and what its decision needs from the store. */
interface Check extends access.AccessQuery, FactsQuery {}

type Viewer = CheckAccessRequest["viewer"];

/** Decides for other services what a viewer may do with regard to an owner. */
export function accessHandlers(
  facts: Coalescer<FactsQuery, access.RelationshipFacts>,
): ServiceImpl<typeof AccessService> {
  async function decide(checks: readonly Check[], gone: Cancellation): Promise<access.Decision[]> {
    const found = await facts.ask(checks, gone);
    return checks.map((check, i) => decision(check, found[i]));
  }

  return {
    async checkAccess(request, context) {
      const [decided = access.unknownUser] = await decide(toChecks([request]), cancellationOf(context));
      if (decided.cause === "UNKNOWN_USER") throw new PrivacyError("USER_NOT_FOUND");
      return toMessage(decided);
    },

    // An async function would keep its request for as long as it waits, and hundreds of large ones do.
    batchCheckAccess({ checks }: BatchCheckAccessRequest, context) {
      const decided = decide(toChecks(checks), cancellationOf(context));
      return decided.then((decisions) => ({ results: decisions.map(toMessage) }));
    },

    filterUsers({ viewer, ownerIds, interaction }, context) {
      const [from, wanted] = [toViewer(viewer), toInteraction(interaction)];
      const check = (ownerId: string) => checkOf(from, toUserId(ownerId), wanted);
      // Made when a statement takes them: as long as they wait, the ids are enough.
      const checks: Questions<Check> = {
        length: ownerIds.length,
        slice: (start, end) => ownerIds.slice(start, end).map(check),
      };
      return facts.ask(checks, cancellationOf(context)).then((found) => ({
        ownerIds: ownerIds
          .filter((ownerId, i) => decision(check(ownerId), found[i]).effect === "ALLOW")
          .map(toUserId),
      }));
    },
  };
}

function toChecks(requests: readonly CheckAccessRequest[]): Check[] {
  let viewer: UserId | null = null;
  return requests.map((request) => {
    const from = toViewer(request.viewer);
    // Most have the same viewer, of whose id one copy is enough.
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
