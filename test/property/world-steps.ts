import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { type CallOptions, Code, ConnectError, type createClient } from "@connectrpc/connect";
import { sql } from "kysely";
import { type ImportRecordSchema, SkipReasonSchema } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import type { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, MuteScope, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import type { OpenedBackend } from "../support/opened-backend.ts";
import type { TestService } from "../support/service.ts";
import { timeOf } from "./edges-model.ts";
import type { Step, TermsStep } from "./model.ts";

/** What takes the steps of a world. */
interface StepCalls {
  readonly graph: TestService["graph"];
  readonly control: ReturnType<typeof createClient<typeof PrivacyControlService>>;
  /** For calls of a service, and of one that acts for a user. */
  readonly options: CallOptions;
  as(user: number): CallOptions;
  idOf(user: number): string;
  readonly opened: OpenedBackend | undefined;
}

/** Makes users known. */
export async function register(
  { graph, options, idOf }: Pick<StepCalls, "graph" | "options" | "idOf">,
  users: readonly number[],
): Promise<void> {
  await graph.upsertUsers(
    {
      users: users.map((user) => ({
        id: idOf(user),
        userName: `user ${user}`,
        profilePictureUrls: [`https://pictures.example/${user}.jpg`],
      })),
    },
    options,
  );
}

/** Takes a step at a time of the clock, and returns `OK`, what became of an imported record, or the code of the failure. */
export async function takeStep(calls: StepCalls, step: Step, now: bigint): Promise<string> {
  try {
    const answer = await call(calls, step, now);
    return typeof answer === "string" ? answer : "OK";
  } catch (failure) {
    return codeOf(failure);
  }
}

function call(calls: StepCalls, step: Step, now: bigint): Promise<unknown> {
  const { graph, control, options, as, idOf, opened } = calls;
  switch (step.act) {
    case "block":
      return control.blockUser({ userId: idOf(step.to), ...termsOf(step, now) }, as(step.by));
    case "change block":
      return control.updateBlock({ userId: idOf(step.to), ...changeOf(step, now) }, as(step.by));
    case "unblock":
      return control.unblockUser({ userId: idOf(step.to) }, as(step.by));
    case "mute":
      return control.muteUser({ userId: idOf(step.to), ...termsOf(step, now) }, as(step.by));
    case "change mute":
      return control.updateMute({ userId: idOf(step.to), ...changeOf(step, now) }, as(step.by));
    case "unmute":
      return control.unmuteUser({ userId: idOf(step.to) }, as(step.by));
    case "follow":
      return graph.followUser({ followerId: idOf(step.by), followeeId: idOf(step.to) }, options);
    case "unfollow":
      return graph.unfollowUser({ followerId: idOf(step.by), followeeId: idOf(step.to) }, options);
    case "import follow":
    case "import block":
    case "import mute": {
      const kind = step.act.slice("import ".length) as "follow" | "block" | "mute";
      const value = { ownerId: idOf(step.by), targetId: idOf(step.to), ...termsOf(step, now) };
      return importOne(calls, { record: { case: kind, value } });
    }
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
    case "wait":
      return clockOf(opened).stopAt(now);
    case "begin to erase":
      return beginErasure(opened, idOf(step.by));
    case "register":
      return completeErasures(opened).then(() => register(calls, [step.by]));
    case "erase":
      return graph.deleteUser({ userId: idOf(step.by) }, options);
  }
}

/** A step that may have terms. */
type TermsOrPair = Pick<TermsStep, "end" | "scopes"> & Pick<Step, "act">;

function termsOf({ act, end = "never", scopes = [] }: TermsOrPair, now: bigint) {
  const time = timeOf(end, now);
  return {
    ...(time !== null && { expiresAt: toTimestamp(time) }),
    ...(act.endsWith("mute") && { scopes: scopes.map((scope) => MuteScope[scope]) }),
  };
}

/** What is given is named in the mask: without a value it is cleared. */
function changeOf({ act, end, scopes }: TermsStep, now: bigint) {
  const ofMute = act === "change mute" ? scopes : undefined;
  const paths = [...(end === undefined ? [] : ["expires_at"]), ...(ofMute === undefined ? [] : ["scopes"])];
  return {
    ...termsOf({ act, ...(end && { end }), ...(ofMute && { scopes: ofMute }) }, now),
    updateMask: { paths },
  };
}

/** Imports a record, and returns what became of it. */
async function importOne(
  { graph, options }: StepCalls,
  record: MessageInitShape<typeof ImportRecordSchema>,
): Promise<string> {
  const { progress, skipped } = await graph.importEdges(
    (async function* () {
      yield { importId: randomUUID(), firstRecord: 0n, records: [record] };
    })(),
    options,
  );
  const [reason] = skipped;
  if (reason !== undefined) return SkipReasonSchema.value[reason.reason]?.localName ?? "";
  return progress?.stored === 1n ? "STORED" : "UNCHANGED";
}

async function beginErasure(opened: OpenedBackend | undefined, user: string): Promise<void> {
  await opened?.run(
    sql`update users set erased_at = clock_timestamp() where id = ${user} and erased_at is null`,
  );
}

/** Completes the erasures that were begun: until then an erased user cannot come back. */
async function completeErasures(opened: OpenedBackend | undefined): Promise<void> {
  if (opened === undefined) return;
  const { users } = opened.database;
  while (await users.resumeErasures());
}

function clockOf(opened: OpenedBackend | undefined) {
  if (opened?.clock === undefined) throw new Error("the clock of this world cannot be moved");
  return opened.clock;
}

function toTimestamp(micros: bigint): MessageInitShape<typeof TimestampSchema> {
  return { seconds: micros / 1_000_000n, nanos: Number(micros % 1_000_000n) * 1_000 };
}

export function fromTimestamp({ seconds, nanos }: { seconds: bigint; nanos: number }): bigint {
  return seconds * 1_000_000n + BigInt(nanos / 1_000);
}

export function codeOf(failure: unknown): string {
  return Code[ConnectError.from(failure).code];
}
