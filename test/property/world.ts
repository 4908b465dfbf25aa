import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type CallOptions, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  AccessService,
  type Cause,
  CauseSchema,
  type Effect,
  EffectSchema,
  type ExplainedEdge,
  Interaction,
  InteractionSchema,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import {
  PreviewCauseSchema,
  PrivacyControlService,
} from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { type Block, type Mute, MuteScope } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import type { OpenedBackend } from "../support/opened-backend.ts";
import type { TestService } from "../support/service.ts";
import { describeEdge, muteScopes } from "./edges-model.ts";
import type { Model, Step } from "./model.ts";
import { codeOf, fromTimestamp, register, takeStep } from "./world-steps.ts";

/** A question as the model has it; a viewer of null is signed out. */
export interface Question {
  readonly viewer: number | null;
  readonly owner: number;
  readonly interaction: string;
}

/** Users of their own in a running service, by the numbers that the model knows them by. */
export interface World {
  /** The id of a user, registered or not: ids have the order of the numbers. */
  idOf(user: number): string;
  /** What the clock shows at the beginning, in microseconds since 1970: it stands still, where it can be moved. */
  readonly startedAt: bigint;
  /** Takes a step, and returns what the model does. `now`: what the clock shows after it. */
  take(step: Step, now?: bigint): Promise<string>;
  /** Each method's answers; of a single check `DENY UNKNOWN_USER` stands for `NOT_FOUND`. */
  check(question: Question): Promise<string>;
  batch(questions: readonly Question[]): Promise<string[]>;
  filter(viewer: number | null, owners: readonly number[], interaction: string): Promise<number[]>;
  filterViewers(owner: number, viewers: readonly number[], interaction: string): Promise<number[]>;
  /** Everybody whom a viewer must not be shown for an interaction, and until when; null for an unknown viewer. */
  hidden(viewer: number, interaction: string): Promise<Hidden | null>;
  /** What one user does with regard to another, and the other; nothing between users of whom one is unknown. */
  relationship(a: number, b: number): Promise<{ own: string[]; other: string[] }>;
  /** What a user does with regard to others, with times, in their order; null for an unknown user. */
  ownSide(user: number, others: readonly number[]): Promise<string[][] | null>;
  /** What an owner is told of a viewer's interactions; null when one of them is unknown. */
  preview(owner: number, viewer: number | null): Promise<string[] | null>;
  /** What an explanation says of everybody: who is known, every decision, and the edges of the viewer and of the owner. */
  explain(viewer: number | null, owner: number): Promise<Explanation>;
  /** The blocks or mutes of a user in the order of the others, with times; null for an unknown user. */
  list(of: "block" | "mute", user: number): Promise<string[] | null>;
  /** The blocks and mutes of a user as they are exported; null for an unknown user. */
  exported(user: number): Promise<string[] | null>;
}

/** As of the model. */
type Hidden = ReturnType<Model["hidden"]>;

/** What an explanation says; decisions as a check answers them, in the order of the enum. */
interface Explanation {
  readonly known: readonly [viewer: boolean, owner: boolean];
  readonly decisions: readonly string[];
  readonly ofViewer: readonly string[];
  readonly ofOwner: readonly string[];
}

/** How much of an id is the number of the user. */
const digits = 12;

/** Makes worlds in a service. `opened`: its store, for the steps that no call takes. */
export async function worldsOf(
  service: TestService,
  opened?: OpenedBackend,
): Promise<(users: readonly number[]) => Promise<World>> {
  const transport = createGrpcTransport({ baseUrl: service.internalUrl });
  const access = createClient(AccessService, transport);
  const control = createClient(PrivacyControlService, transport);
  const options = await service.acting();

  return async (users) => {
    const beginning = randomUUID().slice(0, -digits);
    const idOf = (user: number) => beginning + String(user).padStart(digits, "0");
    const as = (user: number): CallOptions => ({
      headers: { ...options.headers, "x-acting-user": idOf(user) },
    });
    const calls = { graph: service.graph, control, options, as, idOf, opened };
    await register(calls, users);
    const startedAt = BigInt(Date.now()) * 1_000n;
    await opened?.clock?.stopAt(startedAt);

    const viewerOf = (viewer: number | null) =>
      viewer === null
        ? { case: "signedOut" as const, value: true }
        : { case: "viewerId" as const, value: idOf(viewer) };
    const toRequest = ({ viewer, owner, interaction }: Question) => ({
      viewer: viewerOf(viewer),
      ownerId: idOf(owner),
      interaction: Interaction[interaction as keyof typeof Interaction],
    });
    const toUser = (id: string) => (id.startsWith(beginning) ? Number(id.slice(-digits)) : Number.NaN);
    const named = ({ effect, cause }: { effect: Effect; cause: Cause }) =>
      `${EffectSchema.value[effect]?.localName} ${CauseSchema.value[cause]?.localName}`;

    return {
      idOf,
      startedAt,
      take: (step, now = startedAt) => takeStep(calls, step, now),
      check: (question) =>
        whenAvailable(() => access.checkAccess(toRequest(question), options)).then(named, (failure) => {
          if (codeOf(failure) === "NotFound") return "DENY UNKNOWN_USER";
          throw failure;
        }),
      async batch(questions) {
        const checks = questions.map(toRequest);
        const { results } = await whenAvailable(() => access.batchCheckAccess({ checks }, options));
        return results.map(named);
      },
      async filter(viewer, owners, interaction) {
        const request = {
          viewer: viewerOf(viewer),
          ownerIds: owners.map(idOf),
          interaction: Interaction[interaction as keyof typeof Interaction],
        };
        const { ownerIds } = await whenAvailable(() => access.filterUsers(request, options));
        return ownerIds.map(toUser);
      },
      async filterViewers(owner, viewers, interaction) {
        const request = {
          ownerId: idOf(owner),
          viewerIds: viewers.map(idOf),
          interaction: Interaction[interaction as keyof typeof Interaction],
        };
        const { viewerIds } = await whenAvailable(() => access.filterViewers(request, options));
        return viewerIds.map(toUser);
      },
      hidden: (viewer, interaction) =>
        ifKnown(async () => {
          const users: number[] = [];
          const times: bigint[] = [];
          let pageToken = "";
          do {
            const request = {
              viewerId: idOf(viewer),
              interaction: Interaction[interaction as keyof typeof Interaction],
              pageSize: 2,
              pageToken,
            };
            const page = await access.listHiddenUsers(request, options);
            users.push(...page.userIds.map(toUser));
            if (page.validUntil !== undefined) times.push(fromTimestamp(page.validUntil));
            pageToken = page.nextPageToken;
          } while (pageToken !== "");
          return { users, validUntil: times.sort((a, b) => (a < b ? -1 : 1))[0] ?? null };
        }),
      async relationship(a, b) {
        const request = { userId: idOf(a), otherUserId: idOf(b) };
        const found = await ifKnown(() => service.graph.getRelationship(request, options));
        if (found === null) return { own: [], other: [] };
        return {
          own: [
            ...described("follow", found.following, {}),
            ...described("block", found.blocking, { expiresAt: found.blockingExpiresAt }),
            ...described("mute", found.muting, {
              expiresAt: found.mutingExpiresAt,
              scopes: found.mutingScopes,
            }),
          ],
          other: [
            ...described("follow", found.followedBy, {}),
            ...described("block", found.blockedBy, { expiresAt: found.blockedByExpiresAt }),
            ...described("mute", found.mutedBy, {
              expiresAt: found.mutedByExpiresAt,
              scopes: found.mutedByScopes,
            }),
          ],
        };
      },
      async ownSide(user, others) {
        const found = await ifKnown(() => control.listRelationships({ userIds: others.map(idOf) }, as(user)));
        return (
          found?.relationships.map(({ following, blocking, muting }) => [
            ...described("follow", following !== undefined, { ...following }),
            ...described("block", blocking !== undefined, { ...blocking }),
            ...described("mute", muting !== undefined, { ...muting }),
          ]) ?? null
        );
      },
      async preview(owner, viewer) {
        const request = viewer === null ? { signedOut: true } : { userId: idOf(viewer) };
        const found = await ifKnown(() => control.previewAccess(request, as(owner)));
        return (
          found?.interactions.map(
            ({ interaction, effect, cause }) =>
              `${InteractionSchema.value[interaction]?.localName}: ${EffectSchema.value[effect]?.localName} ${
                PreviewCauseSchema.value[cause]?.localName
              }`,
          ) ?? null
        );
      },
      async explain(viewer, owner) {
        const request = { viewer: viewerOf(viewer), ownerId: idOf(owner) };
        const { interactions, facts } = await whenAvailable(() => access.explainAccess(request, options));
        const edge = (kind: string, found: ExplainedEdge | undefined) =>
          described(kind, found !== undefined, { ...found });
        return {
          known: [facts?.viewerKnown === true, facts?.ownerKnown === true],
          decisions: interactions.map(named),
          ofViewer: [...edge("block", facts?.blocking), ...edge("mute", facts?.muting)],
          ofOwner: [...edge("follow", facts?.contact), ...edge("block", facts?.blockedBy)],
        };
      },
      list: (of, user) =>
        ifKnown(async () => {
          const edges: (Block | Mute)[] = [];
          let pageToken = "";
          do {
            const request = { pageSize: 2, pageToken };
            const page =
              of === "block"
                ? await control.listBlockedUsers(request, as(user))
                : await control.listMutedUsers(request, as(user));
            edges.push(...("blocks" in page ? page.blocks : page.mutes));
            pageToken = page.nextPageToken;
          } while (pageToken !== "");
          const times = edges.map(({ createdAt }) => (createdAt ? fromTimestamp(createdAt) : 0n));
          if (times.some((time, i) => i > 0 && time > (times[i - 1] ?? 0n)))
            throw new Error("not the newest first");
          return edges
            .sort((a, b) => toUser(a.user?.id ?? "") - toUser(b.user?.id ?? ""))
            .flatMap((edge) => described(`${of} ${toUser(edge.user?.id ?? "")}`, true, edge));
        }),
      exported: (user) =>
        ifKnown(async () => {
          const found: string[] = [];
          for await (const { records } of service.graph.exportRecords({ userId: idOf(user) }, options))
            for (const { record } of records)
              if (record.case === "block" || record.case === "mute")
                found.push(
                  ...described(`${record.case} ${toUser(record.value.targetId)}`, true, record.value),
                );
          return found;
        }),
    };
  };
}

/** An edge of an answer as the model describes it; nothing when there is none. */
function described(
  kind: string,
  isThere: boolean,
  edge: {
    createdAt?: Timestamp | undefined;
    expiresAt?: Timestamp | undefined;
    scopes?: readonly MuteScope[];
  },
): string[] {
  const { createdAt, expiresAt, scopes = [] } = edge;
  const terms = {
    createdAt: 0n,
    expiresAt: expiresAt === undefined ? null : fromTimestamp(expiresAt),
    scopes: muteScopes.filter((name) => scopes.includes(MuteScope[name])),
  };
  const since = createdAt === undefined ? undefined : fromTimestamp(createdAt);
  // What is not there has no terms.
  if (!isThere && (expiresAt !== undefined || scopes.length > 0)) return [`${kind} that is not there`];
  return isThere ? [describeEdge(kind, terms, since)] : [];
}

/** The answer about known users; null when one of them is unknown. */
function ifKnown<T>(read: () => Promise<T>): Promise<T | null> {
  return whenAvailable(read).catch((failure: unknown) => {
    if (codeOf(failure) === "NotFound") return null;
    throw failure;
  });
}

const attempts = 20;

/** Repeats a read that failed as unavailable: on a busy machine the probe of the database can come too late. */
async function whenAvailable<T>(read: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await read();
    } catch (failure) {
      if (codeOf(failure) !== "Unavailable" || attempt === attempts) throw failure;
      await delay(100);
    }
  }
}
