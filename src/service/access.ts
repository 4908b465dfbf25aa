import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type AccessService,
  Cause,
  type CheckAccessRequest,
  type CheckAccessResponse,
  CheckAccessResponseSchema,
  type Consistency,
  Effect,
  Interaction,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { shareReply } from "../call/service.ts";
import * as access from "../domain/access.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
import type { ConsistentReads } from "./consistent-reads.ts";
import type { DecisionSource, Decisions } from "./decisions.ts";
import { toUserId } from "./proto-mapping.ts";

type Viewer = CheckAccessRequest["viewer"];

interface Decided {
  readonly decisions: readonly access.Decision[];
  readonly consistencyToken: string;
}

/** Decides for other services whether a viewer may do something with regard to an owner. */
export function accessHandlers(
  source: DecisionSource,
  reads: ConsistentReads,
): Omit<ServiceImpl<typeof AccessService>, "listHiddenUsers" | "explainAccess"> {
  async function decide(
    queries: readonly access.AccessQuery[],
    consistency: Consistency | undefined,
    { signal }: HandlerContext,
  ): Promise<Decided> {
    const { found, consistencyToken } = await reads.read(
      consistency,
      (freshness) => source.decide(queries, freshness, signal),
      statesOf,
      signal,
    );
    return { decisions: found.decisions, consistencyToken };
  }

  const replies = new CheckReplies();

  // Not async functions where requests are large: those would keep the request for as long as the call waits.
  return {
    async checkAccess(request, context) {
      const answer = await decide(toQueries([request]), request.consistency, context);
      const [decided = access.unknownUser] = answer.decisions;
      if (decided.cause === "UNKNOWN_USER") throw new PrivacyError("USER_NOT_FOUND");
      return replies.of(decided, answer.consistencyToken);
    },

    batchCheckAccess({ checks, consistency }, context) {
      if (checks.some((check) => check.consistency !== undefined))
        throw new PrivacyError("INVALID_REQUEST", {
          message: "consistency must be set for the whole batch, not for a check",
        });
      return decide(toQueries(checks), consistency, context).then(({ decisions, consistencyToken }) => ({
        results: decisions.map(toDecisionMessage),
        consistencyToken,
      }));
    },

    filterUsers({ viewer, ownerIds, interaction, consistency }, context) {
      const [from, wanted] = [toViewer(viewer), toInteraction(interaction)];
      const queries = ownerIds.map((id) => ({ viewer: from, owner: toUserId(id), interaction: wanted }));
      return decide(queries, consistency, context).then(({ decisions, consistencyToken }) => ({
        ownerIds: queries.filter((_, i) => decisions[i]?.effect === "ALLOW").map(({ owner }) => owner),
        consistencyToken,
      }));
    },

    filterViewers({ ownerId, viewerIds, interaction, consistency }, context) {
      const [owner, wanted] = [toUserId(ownerId), toInteraction(interaction)];
      const viewers = viewerIds.map(toUserId);
      const queries = viewers.map((viewer) => ({ viewer, owner, interaction: wanted }));
      return decide(queries, consistency, context).then(({ decisions, consistencyToken }) => ({
        viewerIds: viewers.filter((_, i) => decisions[i]?.effect === "ALLOW"),
        consistencyToken,
      }));
    },
  };
}

/** The replies of the last token. The calls that share a statement share its token, and many of them the decision. */
class CheckReplies {
  #token = "";
  readonly #byDecision = new Map<string, CheckAccessResponse>();

  of(decision: access.Decision, consistencyToken: string): CheckAccessResponse {
    if (consistencyToken !== this.#token) this.#byDecision.clear();
    this.#token = consistencyToken;
    const key = `${decision.effect} ${decision.cause}`;
    let reply = this.#byDecision.get(key);
    if (reply === undefined) {
      const fields = { ...toDecisionMessage(decision), consistencyToken };
      reply = shareReply(create(CheckAccessResponseSchema, fields));
      this.#byDecision.set(key, reply);
    }
    return reply;
  }
}

const statesOf = ({ states }: Decisions) => states;

function toQueries(requests: readonly CheckAccessRequest[]): access.AccessQuery[] {
  let viewer: UserId | null = null;
  return requests.map((request) => {
    const from = toViewer(request.viewer);
    // Most have the same viewer: one copy of the id is enough.
    if (from !== viewer) viewer = from;
    return { viewer, owner: toUserId(request.ownerId), interaction: toInteraction(request.interaction) };
  });
}

/** Reads the viewer of a validated request; null for one who is not signed in. */
export function toViewer(viewer: Viewer): UserId | null {
  if (viewer.case === "viewerId") return toUserId(viewer.value);
  if (viewer.case === "signedOut" && viewer.value) return null;
  throw new PrivacyError("INVALID_REQUEST");
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
