import type { ServiceImpl } from "@connectrpc/connect";
import type { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import type { UserRepository } from "../store/users.ts";
import type { ConsistencyTokens } from "./consistency-tokens.ts";
import { fromUser, toUserId } from "./proto-mapping.ts";

type Handlers = Pick<
  ServiceImpl<typeof GraphService>,
  "upsertUsers" | "getUser" | "findUsers" | "deleteUser"
>;

/** Keeps users in step with the service that owns them. */
export function userHandlers(users: UserRepository, consistency: ConsistencyTokens): Handlers {
  return {
    async upsertUsers(request, context) {
      const given = request.users.map(({ $typeName, $unknown, ...user }) => ({
        ...user,
        id: toUserId(user.id),
      }));
      consistency.send(context, await users.upsert(given, context.signal));
      return {};
    },

    async getUser(request, { signal }) {
      return { user: fromUser(await users.find(toUserId(request.userId), signal)) };
    },

    async findUsers({ userName }, { signal }) {
      return { users: (await users.findByName(userName, signal)).map(fromUser) };
    },

    async deleteUser(request, context) {
      consistency.send(context, await users.delete(toUserId(request.userId), context.signal));
      return {};
    },
  };
}
