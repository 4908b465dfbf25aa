import type { ServiceImpl } from "@connectrpc/connect";
import type { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { BlockRepository } from "../store/blocks.ts";
import { idempotencyKeyOf, withActingUser } from "./caller.ts";
import type { ConsistencyTokens } from "./consistency-tokens.ts";
import { type PageTokens, readPage } from "./pages.ts";
import { fromEdgeRecord, toTerms, toTermsChange, toUserId } from "./proto-mapping.ts";

type Handlers = Pick<
  ServiceImpl<typeof PrivacyControlService>,
  "blockUser" | "updateBlock" | "unblockUser" | "listBlockedUsers"
>;

/** Blocks, changes, unblocks and lists the blocked for the acting user. */
export function blockHandlers(
  blocks: BlockRepository,
  tokens: PageTokens,
  consistency: ConsistencyTokens,
): Handlers {
  return {
    blockUser: (request, context) =>
      withActingUser(context, async (actor) => {
        const target = toUserId(request.userId);
        if (target === actor) throw new PrivacyError("CANNOT_BLOCK_SELF");
        const key = idempotencyKeyOf(context);
        const { result, token } = await blocks.block(actor, target, toTerms(request), key, context.signal);
        consistency.send(context, token);
        return { block: fromEdgeRecord(result) };
      }),

    updateBlock: (request, context) =>
      withActingUser(context, async (actor) => {
        const target = toUserId(request.userId);
        const change = toTermsChange(request);
        const { result, token } = await blocks.update(actor, target, change, context.signal);
        consistency.send(context, token);
        return { block: fromEdgeRecord(result) };
      }),

    unblockUser: (request, context) =>
      withActingUser(context, async (actor) => {
        consistency.send(context, await blocks.unblock(actor, toUserId(request.userId), context.signal));
        return {};
      }),

    listBlockedUsers: (request, context) =>
      withActingUser(context, async (actor) => {
        const { records, nextPageToken } = await readPage(tokens, "blocks", actor, request, (limit, after) =>
          blocks.list(actor, limit, after, context.signal),
        );
        return { blocks: records.map(fromEdgeRecord), nextPageToken };
      }),
  };
}
