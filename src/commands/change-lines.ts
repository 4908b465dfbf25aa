import {
  type Change,
  ChangeCause,
  ChangeKind,
  type EdgeChange,
  type WatchChangesResponse,
} from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { scopesField, timeField } from "./record-lines.ts";
import { audienceWords, settingWords, wordOf, wordsOf } from "./words.ts";

/** The kinds of changes by their names. */
export const kindWords = wordsOf(ChangeKind);
const causeWords = wordsOf(ChangeCause);

/** A change as a line of NDJSON; undefined for a kind that this version does not know. */
export function changeLine(message: Change): string | undefined {
  const what = fieldsOf(message);
  if (what === undefined) return undefined;
  const { version, cause, changedAt } = message;
  const why = {
    ...(version !== 0n && { version: version.toString() }),
    ...(cause !== ChangeCause.UNSPECIFIED && { cause: wordOf(causeWords, cause) }),
    ...timeField("changedAt", changedAt),
  };
  return lineOf({ ...what, ...why });
}

/** The cursor of a message as a line of NDJSON. */
export function cursorLine({ cursor, complete, through }: WatchChangesResponse): string {
  return lineOf({ type: "cursor", cursor, complete, ...timeField("through", through) });
}

function lineOf(fields: object): string {
  return `${JSON.stringify(fields)}\n`;
}

function fieldsOf({ change }: Change): object | undefined {
  switch (change.case) {
    case "block":
    case "mute":
    case "follow":
      return edgeFields(change.case, change.value);
    case "setting": {
      const { userId, setting, audience } = change.value;
      const type = { type: "setting", userId, setting: wordOf(settingWords, setting) };
      // None is chosen any more.
      if (audience === 0) return { ...type, present: false };
      return { ...type, present: true, audience: wordOf(audienceWords, audience) };
    }
    case "exception": {
      const { userId, setting, exceptedId, present } = change.value;
      return { type: "exception", userId, setting: wordOf(settingWords, setting), exceptedId, present };
    }
    case "userAdded":
      return { type: "user", userId: change.value.userId, present: true };
    case "userErased":
      return { type: "user", userId: change.value.userId, present: false };
    default:
      return undefined;
  }
}

function edgeFields(type: string, edge: EdgeChange): object {
  const { ownerId, targetId, present, createdAt, expiresAt, scopes } = edge;
  const state = {
    ...timeField("createdAt", createdAt),
    ...timeField("expiresAt", expiresAt),
    ...scopesField(scopes),
  };
  return { type, ownerId, targetId, present, ...state };
}

/** Whether a change names a user, or ends what may name the user: the erasure of another one. */
export function concernsUser({ change }: Change, userId: string): boolean {
  if (change.case === "userErased") return true;
  const { ownerId, targetId, userId: owner, exceptedId } = (change.value ?? {}) as Record<string, unknown>;
  return [ownerId, targetId, owner, exceptedId].includes(userId);
}
