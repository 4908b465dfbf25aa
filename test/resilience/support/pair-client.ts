import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import {
  AccessService,
  CauseSchema,
  EffectSchema,
  Interaction,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { MuteScope } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../../src/call/errors.ts";
import { type Action, type Fact, facts, readResult } from "./pair-model.ts";

/** Where an instance of the service listens, and a token of a service for it. */
export interface Target {
  readonly internalUrl: string;
  readonly token: string;
}

/** A client of one instance, over gRPC on a connection of its own. */
export interface PairClient {
  /**
   * Does something as `user` with regard to `other`. Returns what the model calls the answer; undefined when it is
   * unknown whether it took effect. Throws what no caller should ever meet.
   */
  act(action: Action, user: string, other: string): Promise<string | undefined>;
  /** Stores users. */
  addUsers(ids: readonly string[]): Promise<void>;
  close(): void;
}

const refusals = new Set([
  "FOLLOW_ACROSS_BLOCK",
  "USER_ALREADY_BLOCKED",
  "USER_NOT_BLOCKED",
  "USER_ALREADY_MUTED",
  "USER_NOT_MUTED",
]);
const unknownOutcomes = new Set([Code.Unavailable, Code.DeadlineExceeded]);
/** No call takes as long; a run must end, whatever becomes of its calls. */
const patienceMs = 20_000;

export function openClient({ internalUrl, token }: Target): PairClient {
  const sessionManager = new Http2SessionManager(internalUrl);
  const transport = createGrpcTransport({ baseUrl: internalUrl, sessionManager });
  const graph = createClient(GraphService, transport);
  const access = createClient(AccessService, transport);
  const control = createClient(PrivacyControlService, transport);
  const options = { headers: { authorization: `Bearer ${token}` }, timeoutMs: patienceMs };
  const actingFor = (user: string) => ({
    ...options,
    headers: { ...options.headers, "x-acting-user": user },
  });

  const calls: Record<Action, (user: string, other: string) => Promise<string>> = {
    follow: (user, other) => ok(graph.followUser({ followerId: user, followeeId: other }, options)),
    unfollow: (user, other) => ok(graph.unfollowUser({ followerId: user, followeeId: other }, options)),
    block: (user, other) => ok(control.blockUser({ userId: other }, actingFor(user))),
    blockForADay: (user, other) =>
      ok(control.blockUser({ userId: other, expiresAt: inADay() }, actingFor(user))),
    endInADay: (user, other) =>
      ok(control.updateBlock({ userId: other, expiresAt: inADay() }, actingFor(user))),
    keepForGood: (user, other) =>
      ok(control.updateBlock({ userId: other, updateMask: { paths: ["expires_at"] } }, actingFor(user))),
    unblock: (user, other) => ok(control.unblockUser({ userId: other }, actingFor(user))),
    muteContent: (user, other) =>
      ok(control.muteUser({ userId: other, scopes: [MuteScope.CONTENT] }, actingFor(user))),
    muteNotificationsInstead: (user, other) =>
      ok(control.updateMute({ userId: other, scopes: [MuteScope.NOTIFICATIONS] }, actingFor(user))),
    unmute: (user, other) => ok(control.unmuteUser({ userId: other }, actingFor(user))),
    async check(user, other) {
      const viewer = { case: "viewerId", value: user } as const;
      const question = { viewer, ownerId: other, interaction: Interaction.FOLLOW };
      const { effect, cause } = await access.checkAccess(question, options);
      return `${EffectSchema.value[effect]?.localName} ${CauseSchema.value[cause]?.localName}`;
    },
    async read(user, other) {
      const found = await graph.getRelationship({ userId: user, otherUserId: other }, options);
      const { CONTENT, NOTIFICATIONS } = MuteScope;
      const isHeld: Record<Fact, boolean> = {
        following: found.following,
        followedBy: found.followedBy,
        blocking: found.blocking,
        blockedBy: found.blockedBy,
        blockingExpires: found.blockingExpiresAt !== undefined,
        blockedByExpires: found.blockedByExpiresAt !== undefined,
        mutingContent: found.mutingScopes.includes(CONTENT),
        mutedByContent: found.mutedByScopes.includes(CONTENT),
        mutingNotifications: found.mutingScopes.includes(NOTIFICATIONS),
        mutedByNotifications: found.mutedByScopes.includes(NOTIFICATIONS),
      };
      let state = 0;
      for (const [name, bit] of Object.entries(facts)) if (isHeld[name as Fact]) state |= bit;
      return readResult(state);
    },
  };

  return {
    async act(action, user, other) {
      try {
        return await calls[action](user, other);
      } catch (failure) {
        const error = ConnectError.from(failure);
        const reason = reasonOf(error);
        if (reason !== undefined && refusals.has(reason)) return reason;
        // What comes without a reason was not said by the service: the connection broke.
        if (reason === undefined || unknownOutcomes.has(error.code)) return undefined;
        throw failure;
      }
    },
    async addUsers(ids) {
      const users = ids.map((id) => ({ id, userName: `user ${id.slice(0, 8)}` }));
      await graph.upsertUsers({ users }, options);
    },
    close: () => sessionManager.abort(),
  };
}

/** Another time in each call: a change of an expiry is one. */
const inADay = () => timestampFromMs(Date.now() + 86_400_000);

async function ok(call: Promise<unknown>): Promise<string> {
  await call;
  return "OK";
}
