import type { ServiceImpl } from "@connectrpc/connect";
import type { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { ExceptionRepository } from "../store/exceptions.ts";
import { withActingUser } from "./caller.ts";
import type { ConsistencyTokens } from "./consistency-tokens.ts";
import { type PageTokens, readPage } from "./pages.ts";
import { fromUser, toSetting, toUserId } from "./proto-mapping.ts";

type Handlers = Pick<
  ServiceImpl<typeof PrivacyControlService>,
  "listPrivacyExceptions" | "updatePrivacyExceptions"
>;

/** Lists and changes the acting user's exceptions from a setting's audience. */
export function exceptionHandlers(
  exceptions: ExceptionRepository,
  tokens: PageTokens,
  consistency: ConsistencyTokens,
): Handlers {
  return {
    listPrivacyExceptions: (request, context) =>
      withActingUser(context, async (actor) => {
        const setting = toSetting(request.setting);
        const { records, nextPageToken } = await readPage(
          tokens,
          `exceptions:${setting}`,
          actor,
          request,
          (limit, after) => exceptions.list(actor, setting, limit, after, context.signal),
        );
        return { users: records.map(({ user }) => fromUser(user)), nextPageToken };
      }),

    updatePrivacyExceptions: (request, context) =>
      withActingUser(context, async (actor) => {
        const add = request.addUserIds.map(toUserId);
        const remove = request.removeUserIds.map(toUserId);
        const removed = new Set(remove);
        if (add.some((id) => removed.has(id))) {
          throw new PrivacyError("INVALID_REQUEST", {
            message: "A user cannot be added and removed at once",
          });
        }
        const setting = toSetting(request.setting);
        consistency.send(context, await exceptions.update(actor, setting, { add, remove }, context.signal));
        return {};
      }),
  };
}
