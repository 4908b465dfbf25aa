import { type CallOptions, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  AccessService,
  Cause,
  CauseSchema,
  Effect,
  Interaction as InteractionValue,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import {
  ChangeKind,
  ChangeService,
  type WatchChangesResponse,
} from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { ErrorReason } from "../../gen/nexgate/privacy/v1/error_reason_pb.ts";
import type * as access from "../domain/access.ts";
import { unknownUser } from "../domain/access.ts";
import type { UserId } from "../domain/users.ts";
import { callFailure } from "./errors.ts";
import { kindsWithoutFollows, microsOf } from "./replica-changes.ts";
import { inTime } from "./replica-timers.ts";
import type { AskOptions, ReplicaOptions } from "./replica-types.ts";

const defaultTimeoutMs = 5_000;

/** The calls of a replica. */
export class ReplicaService {
  readonly #changes;
  readonly #access;
  readonly #token: ReplicaOptions["token"];

  constructor(transport: Transport, token: ReplicaOptions["token"]) {
    this.#changes = createClient(ChangeService, transport);
    this.#access = createClient(AccessService, transport);
    this.#token = token;
  }

  /** What comes after a cursor, or a snapshot first. */
  async watch(
    cursor: string | undefined,
    options: { readonly keepsFollows: boolean; readonly heartbeatMs: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<WatchChangesResponse>> {
    const { keepsFollows, heartbeatMs } = options;
    const request = {
      start:
        cursor === undefined
          ? { case: "snapshot" as const, value: true }
          : { case: "cursor" as const, value: cursor },
      kinds: kindsOf(keepsFollows),
      heartbeat: durationOf(heartbeatMs),
    };
    return this.#changes.watchChanges(request, { headers: await this.#headers(signal), signal });
  }

  /**
   * A time that the clock of the database showed after the call began, in microseconds since 1970; undefined when the
   * database could not be asked. Fails for a text that is no consistency token.
   */
  async readTime(consistencyToken: string, signal: AbortSignal): Promise<number | undefined> {
    const { readAt } = await this.#changes.readChanges(
      // The changes are of no interest: those of the rarest kind are the fewest.
      { start: { case: "now", value: true }, kinds: [ChangeKind.EXCEPTION], consistencyToken },
      { headers: await this.#headers(signal), signal, timeoutMs: defaultTimeoutMs },
    );
    return readAt === undefined ? undefined : Number(microsOf(readAt));
  }

  /**
   * Asks whether anything came after a cursor. Resolves to a time after the call began up to which nothing did, in microseconds
   * since 1970; undefined when something did, and when the database could not be asked.
   */
  async readThrough(cursor: string, keepsFollows: boolean, signal: AbortSignal): Promise<number | undefined> {
    const { changes, complete, through, readAt } = await this.#changes.readChanges(
      { start: { case: "cursor", value: cursor }, kinds: kindsOf(keepsFollows) },
      { headers: await this.#headers(signal), signal, timeoutMs: defaultTimeoutMs },
    );
    const isUnchanged = changes.length === 0 && complete && readAt !== undefined;
    return isUnchanged && through !== undefined ? Number(microsOf(through)) : undefined;
  }

  /** Asks for a decision; one about an unknown user is that of a batch. */
  async check(
    viewer: UserId | null,
    ownerId: UserId,
    interaction: access.Interaction,
    options: AskOptions,
  ): Promise<access.Decision> {
    const request = { viewer: viewerOf(viewer), ownerId, interaction: InteractionValue[interaction] };
    try {
      const { effect, cause } = await this.#access.checkAccess(request, await this.#callOptions(options));
      return {
        effect: effectNames.get(effect) ?? "DENY",
        cause: cause === Cause.UNSPECIFIED ? null : (CauseSchema.value[cause]?.localName as access.Cause),
      };
    } catch (failure) {
      if (callFailure(failure)?.reason === ErrorReason.USER_NOT_FOUND) return unknownUser;
      throw failure;
    }
  }

  /** Asks for the owners for whom an interaction is allowed, of any number. */
  async filter(
    viewer: UserId | null,
    owners: readonly UserId[],
    interaction: access.Interaction,
    options: AskOptions,
  ): Promise<string[]> {
    const allowed: string[] = [];
    for (let from = 0; from < owners.length; from += maxOwners) {
      const ownerIds = owners.slice(from, from + maxOwners);
      const request = { viewer: viewerOf(viewer), ownerIds, interaction: InteractionValue[interaction] };
      const answer = await this.#access.filterUsers(request, await this.#callOptions(options));
      allowed.push(...answer.ownerIds);
    }
    return allowed;
  }

  async #callOptions({ signal, timeoutMs = defaultTimeoutMs }: AskOptions): Promise<CallOptions> {
    return { headers: await this.#headers(signal), timeoutMs, ...(signal && { signal }) };
  }

  async #headers(signal: AbortSignal | undefined): Promise<Record<string, string>> {
    const token = await inTime(Promise.resolve(this.#token()), defaultTimeoutMs, signal);
    return { authorization: `Bearer ${token}` };
  }
}

/** Those that a copy needs; none stands for all. */
const kindsOf = (keepsFollows: boolean) => (keepsFollows ? [] : kindsWithoutFollows);

/** The most owners of one call. */
const maxOwners = 1_000;

const effectNames = new Map<Effect, access.Effect>([
  [Effect.ALLOW, "ALLOW"],
  [Effect.LIMIT, "LIMIT"],
  [Effect.HIDE, "HIDE"],
  [Effect.DENY, "DENY"],
]);

function viewerOf(viewer: UserId | null) {
  return viewer === null
    ? { case: "signedOut" as const, value: true }
    : { case: "viewerId" as const, value: viewer };
}

function durationOf(ms: number) {
  return { seconds: BigInt(Math.floor(ms / 1_000)), nanos: Math.round((ms % 1_000) * 1_000_000) };
}

/** Codes of failures that do not pass unless somebody changes something. */
const lastingCodes = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.InvalidArgument,
  Code.Unimplemented,
  Code.NotFound,
]);

export function isLasting(failure: unknown): boolean {
  return !(failure instanceof ConnectError) || lastingCodes.has(failure.code);
}
