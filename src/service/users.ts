import type { ServiceImpl } from "@connectrpc/connect";
import type { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import type { UserRepository } from "../store/users.ts";
import { fromUser, toUserId } from "./proto-mapping.ts";

type Handlers = Pick<ServiceImpl<typeof GraphService>, "upsertUsers" | "getUser" | "deleteUser">;

/** Keeps users in step with the service that owns them. */
export function userHandlers(users: UserRepository): Handlers {
  return {
    async upsertUsers(request, { signal }) {
      await users.upsert(
        request.users.map(({ $typeName, $unknown, ...user }) => ({ ...user, id: toUserId(user.id) })),
        signal,
      );
      return {};
    },

    async getUser(request, { signal }) {
      return { user: fromUser(await users.find(toUserId(request.userId), signal)) };
    },

    async deleteUser(request, { signal }) {
      await users.delete(toUserId(request.userId), signal);
      return {};
    },
  };
}
