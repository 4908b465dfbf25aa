import { randomUUID } from "node:crypto";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { AccessService, Effect, Interaction } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, PrivacySetting } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../../src/call/errors.ts";
import type { Target } from "../support/pair-client.ts";

const deadlineMs = 400;
/** The longest time that a call may take, so that a run ends. */
const longestMs = 30_000;

/** A subject of changes, which has one of a few values. */
export interface Subject {
  readonly name: string;
  readonly values: readonly string[];
  set(value: string, client: SubjectClient): Promise<unknown>;
  read(client: SubjectClient): Promise<string>;
}

export type SubjectClient = ReturnType<typeof openSubjectClient>;

export function openSubjectClient({ internalUrl, token }: Target) {
  const sessionManager = new Http2SessionManager(internalUrl);
  const transport = createGrpcTransport({ baseUrl: internalUrl, sessionManager });
  // The server must enforce the deadline: it may learn too late of a call that its client ended.
  const options = (actor?: string) => ({
    headers: {
      authorization: `Bearer ${token}`,
      "grpc-timeout": `${deadlineMs}m`,
      ...(actor === undefined ? {} : { "x-acting-user": actor }),
    },
    signal: AbortSignal.timeout(longestMs),
  });
  const untimed = () => ({
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(longestMs),
  });
  return {
    access: createClient(AccessService, transport),
    graph: createClient(GraphService, transport),
    control: createClient(PrivacyControlService, transport),
    options,
    untimed,
    close: () => sessionManager.abort(),
  };
}

async function newUsers({ graph, untimed }: SubjectClient, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  await graph.upsertUsers({ users: ids.map((id) => ({ id, userName: id })) }, untimed());
  return ids;
}

/** Repeats a change that may have taken effect already. */
async function unlessDone(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (failure) {
    const reason = reasonOf(ConnectError.from(failure));
    if (reason !== "USER_ALREADY_BLOCKED" && reason !== "USER_ALREADY_MUTED") throw failure;
  }
}

/** The kinds of subjects. Each makes one, with users of its own. */
export const subjectKinds: Record<string, (client: SubjectClient) => Promise<Subject>> = {
  block: blockSubject("block", async (user, other, { access, options }) => {
    const viewer = { case: "viewerId", value: other } as const;
    const request = { viewer, ownerId: user, interaction: Interaction.FOLLOW };
    return (await access.checkAccess(request, options())).effect === Effect.DENY;
  }),
  "listed block": blockSubject("listed block", async (user, _other, { control, options }) => {
    return (await control.listBlockedUsers({}, options(user))).blocks.length > 0;
  }),
  async mute(first) {
    const [user, other] = (await newUsers(first, 2)) as [string, string];
    return {
      name: "mute",
      values: ["muted", "not muted"],
      set: (value, { control, options }) =>
        value === "muted"
          ? unlessDone(control.muteUser({ userId: other }, options(user)))
          : control.unmuteUser({ userId: other }, options(user)),
      async read({ graph, options }) {
        const { muting } = await graph.getRelationship({ userId: user, otherUserId: other }, options());
        return muting ? "muted" : "not muted";
      },
    };
  },
  async follow(first) {
    const [followerId, followeeId] = (await newUsers(first, 2)) as [string, string];
    return {
      name: "follow",
      values: ["followed", "not followed"],
      set: (value, { graph, options }) =>
        value === "followed"
          ? graph.followUser({ followerId, followeeId }, options())
          : graph.unfollowUser({ followerId, followeeId }, options()),
      async read({ graph, options }) {
        const { following } = await graph.getRelationship(
          { userId: followerId, otherUserId: followeeId },
          options(),
        );
        return following ? "followed" : "not followed";
      },
    };
  },
  async setting(first) {
    const [user] = (await newUsers(first, 1)) as [string];
    const audiences = [Audience.ALL, Audience.CONTACTS, Audience.NONE];
    return {
      name: "setting",
      values: audiences.map(String),
      set: (value, { control, options }) =>
        control.updatePrivacySetting(
          { setting: PrivacySetting.GROUPS, value: Number(value) as Audience },
          options(user),
        ),
      async read({ control, options }) {
        const { settings } = await control.getPrivacySettings({}, options(user));
        return String(settings?.groups);
      },
    };
  },
  async user(first) {
    const [id] = (await newUsers(first, 1)) as [string];
    return {
      name: "user",
      values: ["Ann", "Bea", "Cat"],
      set: (firstName, { graph, options }) =>
        graph.upsertUsers({ users: [{ id, userName: id, firstName }] }, options()),
      async read({ graph, options }) {
        const { user } = await graph.getUser({ userId: id }, options());
        return user?.firstName ?? "";
      },
    };
  },
};

/** A block, as `isBlocked` reads it. */
function blockSubject(
  name: string,
  isBlocked: (user: string, other: string, client: SubjectClient) => Promise<boolean>,
) {
  return async (first: SubjectClient): Promise<Subject> => {
    const [user, other] = (await newUsers(first, 2)) as [string, string];
    return {
      name,
      values: ["blocked", "not blocked"],
      set: (value, { control, options }) =>
        value === "blocked"
          ? unlessDone(control.blockUser({ userId: other }, options(user)))
          : control.unblockUser({ userId: other }, options(user)),
      read: async (client) => ((await isBlocked(user, other, client)) ? "blocked" : "not blocked"),
    };
  };
}
