import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, MuteScope, PrivacySetting } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import type { Target } from "../support/pair-client.ts";
import type { Random } from "../support/random.ts";
import type { Problems } from "../support/report.ts";

export interface Writer {
  /** Changes something, or tries to. */
  write(random: Random): Promise<void>;
  close(): Promise<void>;
}

const settings = [PrivacySetting.LAST_SEEN, PrivacySetting.STATUS, PrivacySetting.GROUPS];
const audiences = [Audience.ALL, Audience.CONTACTS, Audience.CONTACT_BLACKLIST, Audience.NONE];
/** No call takes as long; a run must end, whatever becomes of its calls. */
const patienceMs = 20_000;
const mostTries = 10;
/** How many records an import has at most. */
const mostRecords = 40;
/** For how long a block or mute lasts at least that ends by itself: longer than the API asks for, for slow calls. */
const leastLifeMs = 120_000;
/** How long a writer rests that got no answer, in milliseconds. */
const restMs = 20;
/** How long an erased user stays away at most, in milliseconds. */
const awayMs = 300;

/** Opens a writer that uses the API of instances at random; `ids` are the users whom it writes about. */
export function openApiWriter(
  instances: readonly Target[],
  ids: readonly string[],
  problems: Problems,
): Writer {
  const clients = instances.map(openClient);
  const actions = actionsOn(ids);
  return {
    async write(random) {
      const client = pick(clients, random);
      try {
        await pick(actions, random)(client, random);
      } catch (failure) {
        const { code, message } = ConnectError.from(failure);
        if (code === Code.Internal || code === Code.Unimplemented) problems.add("calls that failed", message);
        if (code === Code.Unavailable) await setTimeout(restMs);
      }
    },
    async close() {
      for (const { sessionManager } of clients) sessionManager.abort();
    },
  };
}

/** Makes users known. */
export async function addUsers(instance: Target, ids: readonly string[]): Promise<void> {
  const { graph, service, sessionManager } = openClient(instance);
  const users = ids.map((id) => ({ id, userName: id }));
  for (let tries = 1; ; tries++) {
    try {
      await graph.upsertUsers({ users }, service);
      break;
    } catch (failure) {
      // A busy machine may be slow to open the first connections.
      if (tries === mostTries) throw failure;
    }
  }
  sessionManager.abort();
}

function openClient({ internalUrl, token }: Target) {
  const sessionManager = new Http2SessionManager(internalUrl);
  const transport = createGrpcTransport({ baseUrl: internalUrl, sessionManager });
  const authorization = `Bearer ${token}`;
  return {
    graph: createClient(GraphService, transport),
    control: createClient(PrivacyControlService, transport),
    sessionManager,
    service: { headers: { authorization }, timeoutMs: patienceMs },
    as: (user: string) => ({ headers: { authorization, "x-acting-user": user }, timeoutMs: patienceMs }),
  };
}

type Client = ReturnType<typeof openClient>;
type Action = (client: Client, random: Random) => Promise<unknown>;

/** Every kind of change, each as often as it is to be chosen. */
function actionsOn(ids: readonly string[]): Action[] {
  const user = (random: Random) => pick(ids, random);
  const pair = (random: Random) => {
    const owner = random.below(ids.length);
    const other = (owner + 1 + random.below(ids.length - 1)) % ids.length;
    return [ids[owner] as string, ids[other] as string] as const;
  };
  const onPair =
    (act: (client: Client, owner: string, other: string, random: Random) => Promise<unknown>): Action =>
    (client, random) =>
      act(client, ...pair(random), random);
  const follow = onPair(({ graph, service }, followerId, followeeId) =>
    graph.followUser({ followerId, followeeId }, service),
  );
  const unfollow = onPair(({ graph, service }, followerId, followeeId) =>
    graph.unfollowUser({ followerId, followeeId }, service),
  );
  const block = onPair(({ control, as }, owner, userId, random) =>
    control.blockUser({ userId, ...someExpiry(random) }, as(owner)),
  );
  const updateBlock = onPair(({ control, as }, owner, userId, random) =>
    control.updateBlock({ userId, ...someExpiry(random), updateMask: { paths: ["expires_at"] } }, as(owner)),
  );
  const unblock = onPair(({ control, as }, owner, userId) => control.unblockUser({ userId }, as(owner)));
  const mute = onPair(({ control, as }, owner, userId, random) =>
    control.muteUser({ userId, ...someExpiry(random), scopes: someScopes(random) }, as(owner)),
  );
  const updateMute = onPair(({ control, as }, owner, userId, random) => {
    const paths = pick([["expires_at"], ["scopes"], ["expires_at", "scopes"]], random);
    const terms = { ...someExpiry(random), scopes: someScopes(random), updateMask: { paths } };
    return control.updateMute({ userId, ...terms }, as(owner));
  });
  const unmute = onPair(({ control, as }, owner, userId) => control.unmuteUser({ userId }, as(owner)));
  const set: Action = ({ control, as }, random) =>
    control.updatePrivacySetting(
      { setting: pick(settings, random), value: pick(audiences, random) },
      as(user(random)),
    );
  const except: Action = ({ control, as }, random) => {
    const drawn = ids.map((id) => ({ id, part: random.below(3) }));
    const idsOf = (part: number) => drawn.filter((one) => one.part === part).map(({ id }) => id);
    const request = { setting: pick(settings, random), addUserIds: idsOf(0), removeUserIds: idsOf(1) };
    return control.updatePrivacyExceptions(request, as(user(random)));
  };
  const importEdges: Action = ({ graph, service }, random) => {
    const records = Array.from({ length: 2 + random.below(mostRecords) }, () => {
      const [ownerId, targetId] = pair(random);
      const kind = pick(["follow", "follow", "block", "mute"] as const, random);
      const terms = {
        ...(kind !== "follow" && someExpiry(random)),
        ...(kind === "mute" && { scopes: someScopes(random) }),
      };
      return { record: { case: kind, value: { ownerId, targetId, ...terms } } };
    });
    const id = user(random);
    if (random.below(4) === 0)
      records.push({ record: { case: "user", value: { id, userName: id } } } as never);
    return graph.importEdges(
      (async function* () {
        yield { importId: randomUUID(), firstRecord: 0n, records };
      })(),
      service,
    );
  };
  const erase: Action = async ({ graph, service }, random) => {
    const id = user(random);
    await graph.deleteUser({ userId: id }, service);
    await setTimeout(random.below(awayMs));
    await graph.upsertUsers({ users: [{ id, userName: id }] }, service);
  };
  const eraseUnknown: Action = ({ graph, service }) => graph.deleteUser({ userId: randomUUID() }, service);
  /** Also makes users known again whose return failed. */
  const rename: Action = ({ graph, service }, random) => {
    const id = user(random);
    return graph.upsertUsers({ users: [{ id, userName: id, firstName: String(random.below(9)) }] }, service);
  };
  return [
    ...repeated(5, follow),
    ...repeated(2, unfollow),
    ...repeated(3, block),
    ...repeated(2, updateBlock),
    ...repeated(4, unblock),
    ...repeated(4, mute),
    ...repeated(2, updateMute),
    ...repeated(3, unmute),
    ...repeated(4, set),
    ...repeated(4, except),
    ...repeated(4, importEdges),
    ...repeated(2, rename),
    erase,
    eraseUnknown,
  ];
}

/** No end, or one that is far enough away to be allowed: writers by SQL bring it nearer. */
function someExpiry(random: Random) {
  if (random.below(3) === 0) return {};
  return { expiresAt: timestampFromMs(Date.now() + leastLifeMs + random.below(leastLifeMs)) };
}

function someScopes(random: Random): MuteScope[] {
  return [MuteScope.CONTENT, MuteScope.NOTIFICATIONS].filter(() => random.below(3) === 0);
}

function repeated<T>(times: number, value: T): T[] {
  return Array.from({ length: times }, () => value);
}

export function pick<T>(of: readonly T[], random: Random): T {
  return of[random.below(of.length)] as T;
}
