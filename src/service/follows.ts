import type { ServiceImpl } from "@connectrpc/connect";
import type { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { allScopes } from "../domain/changes.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { FollowRepository } from "../store/follows.ts";
import type { ConsistencyTokens } from "./consistency-tokens.ts";
import { fromExpiry, fromScopes, toUserId } from "./proto-mapping.ts";

type Handlers = Pick<ServiceImpl<typeof GraphService>, "followUser" | "unfollowUser" | "getRelationship">;

/** Keeps follows in step with the service that owns them, and reads relationships. */
export function followHandlers(follows: FollowRepository, consistency: ConsistencyTokens): Handlers {
  return {
    async followUser(request, context) {
      const follower = toUserId(request.followerId);
      const followee = toUserId(request.followeeId);
      if (follower === followee) throw new PrivacyError("CANNOT_FOLLOW_SELF");
      consistency.send(context, await follows.follow(follower, followee, context.signal));
      return {};
    },

    async unfollowUser(request, context) {
      const [follower, followee] = [toUserId(request.followerId), toUserId(request.followeeId)];
      consistency.send(context, await follows.unfollow(follower, followee, context.signal));
      return {};
    },

    async getRelationship(request, { signal }) {
      const [user, other] = [toUserId(request.userId), toUserId(request.otherUserId)];
      const { blocking, blockedBy, muting, mutedBy, ...follow } = await follows.relationship(
        user,
        other,
        signal,
      );
      return {
        ...follow,
        blocking: blocking !== null,
        blockedBy: blockedBy !== null,
        muting: muting !== null,
        mutedBy: mutedBy !== null,
        blockingExpiresAt: fromExpiry(blocking?.expiresAt ?? null),
        blockedByExpiresAt: fromExpiry(blockedBy?.expiresAt ?? null),
        mutingExpiresAt: fromExpiry(muting?.expiresAt ?? null),
        mutedByExpiresAt: fromExpiry(mutedBy?.expiresAt ?? null),
        mutingScopes: fromScopes(muting?.scopes ?? allScopes),
        mutedByScopes: fromScopes(mutedBy?.scopes ?? allScopes),
      };
    },
  };
}
