import type { ServiceImpl } from "@connectrpc/connect";
import type { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { FollowRepository } from "../store/follows.ts";
import type { ImportRepository } from "../store/imports.ts";
import type { UserRepository } from "../store/users.ts";
import { fromUser, toUserId } from "./convert.ts";
import { type ImportLog, importHandlers } from "./imports.ts";

/** Keeps users and follows in step with the services that own them. */
export function graphHandlers(
  users: UserRepository,
  follows: FollowRepository,
  imports: ImportRepository,
  importLog: ImportLog,
  stopping: AbortSignal,
): ServiceImpl<typeof GraphService> {
  return {
    ...importHandlers(imports, importLog, stopping),

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

    async followUser(request, { signal }) {
      const follower = toUserId(request.followerId);
      const followee = toUserId(request.followeeId);
      if (follower === followee) throw new PrivacyError("CANNOT_FOLLOW_SELF");
      await follows.follow(follower, followee, signal);
      return {};
    },

    async unfollowUser(request, { signal }) {
      await follows.unfollow(toUserId(request.followerId), toUserId(request.followeeId), signal);
      return {};
    },

    async getRelationship(request, { signal }) {
      return await follows.relationship(toUserId(request.userId), toUserId(request.otherUserId), signal);
    },
  };
}
