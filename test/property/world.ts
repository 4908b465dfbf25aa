import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type CallOptions, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type RawBuilder, sql } from "kysely";
import {
  AccessService,
  type Cause,
  CauseSchema,
  type Effect,
  EffectSchema,
  Interaction,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import type { OpenedBackend } from "../support/opened-backend.ts";
import type { TestService } from "../support/service.ts";
import type { Step } from "./model.ts";

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
  /** Takes a step, and returns the code of the answer. */
  take(step: Step): Promise<string>;
  /** Each method's answers; of a single check `DENY UNKNOWN_USER` stands for `NOT_FOUND`. */
  check(question: Question): Promise<string>;
  batch(questions: readonly Question[]): Promise<string[]>;
  filter(viewer: number | null, owners: readonly number[], interaction: string): Promise<number[]>;
  /** Everybody whom a viewer must not be shown for an interaction; null for an unknown viewer. */
  hidden(viewer: number, interaction: string): Promise<number[] | null>;
  /** What one user does with regard to another; nothing between users of whom one is unknown. */
  relationship(a: number, b: number): Promise<string[]>;
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
    const register = (numbers: readonly number[]) =>
      service.graph.upsertUsers(
        {
          users: numbers.map((user) => ({
            id: idOf(user),
            userName: `user ${user}`,
            profilePictureUrls: [`https://pictures.example/${user}.jpg`],
          })),
        },
        options,
      );
    await register(users);

    async function change(statement: RawBuilder<unknown>): Promise<void> {
      await opened?.run(statement);
    }

    /** Completes the erasures that were begun: until then an erased user cannot come back. */
    async function completeErasures(): Promise<void> {
      if (opened === undefined) return;
      const { users } = opened.database;
      while (await users.resumeErasures());
    }

    function call(step: Step): Promise<unknown> {
      switch (step.act) {
        case "block":
          return control.blockUser({ userId: idOf(step.to) }, as(step.by));
        case "unblock":
          return control.unblockUser({ userId: idOf(step.to) }, as(step.by));
        case "mute":
          return control.muteUser({ userId: idOf(step.to) }, as(step.by));
        case "unmute":
          return control.unmuteUser({ userId: idOf(step.to) }, as(step.by));
        case "follow":
          return service.graph.followUser({ followerId: idOf(step.by), followeeId: idOf(step.to) }, options);
        case "unfollow":
          return service.graph.unfollowUser(
            { followerId: idOf(step.by), followeeId: idOf(step.to) },
            options,
          );
        case "set":
          return control.updatePrivacySetting(
            { setting: PrivacySetting[step.setting], value: Audience[step.audience] },
            as(step.by),
          );
        case "except":
          return control.updatePrivacyExceptions(
            {
              setting: PrivacySetting[step.setting],
              addUserIds: step.add.map(idOf),
              removeUserIds: step.remove.map(idOf),
            },
            as(step.by),
          );
        case "lapse":
          return step.of === "block"
            ? change(sql`update blocks set expires_at = now() where blocker_id = ${idOf(step.by)}`)
            : change(sql`update mutes set expires_at = now() where muter_id = ${idOf(step.by)}`);
        case "narrow":
          return change(sql`update mutes set scopes = ${step.scope === "CONTENT" ? 1 : 2}
            where muter_id = ${idOf(step.by)}`);
        case "begin to erase":
          return change(sql`update users set erased_at = clock_timestamp()
            where id = ${idOf(step.by)} and erased_at is null`);
        case "register":
          return completeErasures().then(() => register([step.by]));
        case "erase":
          return service.graph.deleteUser({ userId: idOf(step.by) }, options);
      }
    }

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
      take: (step) => call(step).then(() => "OK", codeOf),
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
      async hidden(viewer, interaction) {
        const found: number[] = [];
        let pageToken = "";
        do {
          const request = {
            viewerId: idOf(viewer),
            interaction: Interaction[interaction as keyof typeof Interaction],
            pageSize: 2,
            pageToken,
          };
          const page = await whenAvailable(() => access.listHiddenUsers(request, options)).catch(
            (failure: unknown) => {
              if (codeOf(failure) === "NotFound") return undefined;
              throw failure;
            },
          );
          if (page === undefined) return null;
          found.push(...page.userIds.map(toUser));
          pageToken = page.nextPageToken;
        } while (pageToken !== "");
        return found;
      },
      async relationship(a, b) {
        const request = { userId: idOf(a), otherUserId: idOf(b) };
        const found = await whenAvailable(() => service.graph.getRelationship(request, options)).catch(
          (failure: unknown) => {
            if (codeOf(failure) === "NotFound") return undefined;
            throw failure;
          },
        );
        const acts = { follow: found?.following, block: found?.blocking, mute: found?.muting };
        return Object.entries(acts).flatMap(([act, does]) => (does ? [act] : []));
      },
    };
  };
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

function codeOf(failure: unknown): string {
  return Code[ConnectError.from(failure).code];
}
