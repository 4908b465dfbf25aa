import type { Fields, Headers } from "./public-protocols.ts";

/** What a caller asks of a method, and with which further headers. */
export interface PublicRequest {
  readonly fields: Fields;
  readonly headers?: Headers;
}

/** The numbers of users: the caller and three others. */
export const [caller, target, other, third] = [0, 1, 2, 3];
/** One who is not registered. */
const stranger = 9;

const day = 86_400_000;
/** The same for a whole run, so that two answers about it can be compared. */
const [later, past] = [day, -day].map((ms) => new Date(Date.now() + ms).toISOString()) as [string, string];

type Ids = (user: number) => string;

/** A user of each kind: one who turned on the caller, others, the caller, and nobody. */
const everyone = [target, other, caller, stranger];

const about = (users: readonly number[], fields: Fields = {}) => {
  return (id: Ids): PublicRequest[] => users.map((user) => ({ fields: { ...fields, userId: id(user) } }));
};

const plain = (...fields: Fields[]) => {
  return (): PublicRequest[] => fields.map((each) => ({ fields: each }));
};

const all = (...parts: ((id: Ids) => PublicRequest[])[]) => {
  return (id: Ids): PublicRequest[] => parts.flatMap((part) => part(id));
};

/** Requests that are repeated with an idempotency key, and another one with the same key. */
const keyed = (...users: number[]) => {
  return (id: Ids): PublicRequest[] =>
    users.flatMap((user) => {
      const fields = { userId: id(user), expiresAt: later };
      const headers = { "idempotency-key": `about ${user}` };
      return [
        { fields, headers },
        { fields: { userId: id(user) }, headers },
      ];
    });
};

/** What a caller asks of every public method. */
export const publicRequests: Readonly<Record<string, (id: Ids) => PublicRequest[]>> = {
  BlockUser: all(
    about(everyone),
    about([target, third], { expiresAt: later }),
    about([target], { expiresAt: past }),
    keyed(target, stranger),
  ),
  UpdateBlock: all(about(everyone, { expiresAt: later }), about([target, third])),
  UnblockUser: about([target, third, stranger]),
  MuteUser: all(
    about(everyone),
    about([target, third], { scopes: ["content"], expiresAt: later }),
    about([target], { scopes: ["everything"] }),
    keyed(target, stranger),
  ),
  UpdateMute: all(
    about(everyone, { scopes: ["notifications"] }),
    about([target, third], { expiresAt: past }),
    about([target]),
  ),
  UnmuteUser: about([target, third, stranger]),
  ListBlockedUsers: plain({}, { pageSize: 1 }, { pageToken: "x" }),
  ListMutedUsers: plain({}, { pageSize: 1 }, { pageSize: -1 }),
  ListRelationships: (id) => [
    { fields: {} },
    { fields: { userIds: [stranger, third, target, other, caller, target].map(id) } },
    { fields: { userIds: [id(target)] } },
    { fields: { userIds: [id(target), "x"] } },
  ],
  PreviewAccess: all(plain({}, { signedOut: true }), about([...everyone, third])),
  GetPrivacySettings: plain({}),
  UpdatePrivacySetting: plain(
    { setting: "status", value: "contacts" },
    { setting: "status", value: "friends" },
  ),
  ListPrivacyExceptions: plain({ setting: "groups" }, { setting: "groups", pageSize: 1 }),
  UpdatePrivacyExceptions: (id) => [
    { fields: { setting: "groups", addUserIds: [id(target), id(other)] } },
    { fields: { setting: "groups", addUserIds: [id(third)], removeUserIds: [id(target)] } },
    { fields: { setting: "groups", addUserIds: [id(stranger), id(target)] } },
  ],
};
