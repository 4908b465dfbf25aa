import type { ServiceImpl } from "@connectrpc/connect";
import type { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { MuteRepository } from "../store/mutes.ts";
import { idempotencyKeyOf, withActingUser } from "./caller.ts";
import type { ConsistencyTokens } from "./consistency-tokens.ts";
import { type PageTokens, readPage } from "./pages.ts";
import { fromEdgeRecord, toTerms, toTermsChange, toUserId } from "./proto-mapping.ts";

type Handlers = Pick<
  ServiceImpl<typeof PrivacyControlService>,
  "muteUser" | "updateMute" | "unmuteUser" | "listMutedUsers"
>;

/** Mutes, changes, unmutes and lists the muted for the acting user. */
export function muteHandlers(
  mutes: MuteRepository,
  tokens: PageTokens,
  consistency: ConsistencyTokens,
): Handlers {
  return {
    muteUser: (request, context) =>
      withActingUser(context, async (actor) => {
        const target = toUserId(request.userId);
        if (target === actor) throw new PrivacyError("CANNOT_MUTE_SELF");
        const key = idempotencyKeyOf(context);
        const { result, token } = await mutes.mute(actor, target, toTerms(request), key, context.signal);
        consistency.send(context, token);
        return { mute: fromEdgeRecord(result) };
      }),

    updateMute: (request, context) =>
      withActingUser(context, async (actor) => {
        const target = toUserId(request.userId);
        const change = toTermsChange(request);
        const { result, token } = await mutes.update(actor, target, change, context.signal);
        consistency.send(context, token);
        return { mute: fromEdgeRecord(result) };
      }),

    unmuteUser: (request, context) =>
      withActingUser(context, async (actor) => {
        consistency.send(context, await mutes.unmute(actor, toUserId(request.userId), context.signal));
        return {};
      }),

    listMutedUsers: (request, context) =>
      withActingUser(context, async (actor) => {
        const { records, nextPageToken } = await readPage(tokens, "mutes", actor, request, (limit, after) =>
          mutes.list(actor, limit, after, context.signal),
        );
        return { mutes: records.map(fromEdgeRecord), nextPageToken };
      }),
  };
}
