import type { ServiceImpl } from "@connectrpc/connect";
import { type AccessService, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { decisionTable } from "../domain/access.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { HiddenUsersReader } from "../store/hidden.ts";
import { type PageSizes, type PageTokens, sizeOfPage } from "./pages.ts";
import { fromMicros, toUserId } from "./proto-mapping.ts";

/** The list of those who are hidden by `VIEW_CONTENT`, for page tokens. */
export const hiddenList = "hidden-content";

/** The interactions that can be asked about, with the list that page tokens belong to and what a mute must cover. */
const lists = new Map<Interaction, { readonly name: string; readonly scope: number }>([
  [Interaction.VIEW_CONTENT, { name: hiddenList, scope: decisionTable.VIEW_CONTENT.muteScope }],
  [
    Interaction.RECEIVE_NOTIFICATION,
    { name: "hidden-notifications", scope: decisionTable.RECEIVE_NOTIFICATION.muteScope },
  ],
]);

const hiddenUserPages: PageSizes = { usual: 1_000, max: 10_000 };

/** Lists for other services the users who must not be shown to a viewer. */
export function hiddenUserHandlers(
  hiddenUsers: HiddenUsersReader,
  tokens: PageTokens,
): Pick<ServiceImpl<typeof AccessService>, "listHiddenUsers"> {
  return {
    async listHiddenUsers({ viewerId, interaction, pageSize, pageToken }, context) {
      const list = lists.get(interaction || Interaction.VIEW_CONTENT);
      if (list === undefined) throw new PrivacyError("INVALID_REQUEST");
      const viewer = toUserId(viewerId);
      const { users, endsAt, next } = await hiddenUsers.read(
        {
          viewer,
          scope: list.scope,
          limit: sizeOfPage(pageSize, hiddenUserPages),
          from: tokens.read(list.name, viewer, pageToken)?.id,
        },
        context.signal,
      );
      return {
        userIds: [...users],
        // The list has the order of ids: times are no part of a position in it.
        nextPageToken: next === undefined ? "" : tokens.write(list.name, viewer, { createdAt: 0n, id: next }),
        ...(endsAt !== null && { validUntil: fromMicros(endsAt) }),
      };
    },
  };
}
