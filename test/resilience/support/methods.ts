import { globSync } from "node:fs";
import { create, type DescMethod, type DescService, fromJson, type JsonValue } from "@bufbuild/protobuf";

/** The scope that a service needs for each method, null for none. Written down here, not read from the definitions. */
export const requiredScopes: Readonly<Record<string, string | null>> = {
  "nexgate.privacy.v1.PrivacyControlService/BlockUser": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/UpdateBlock": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/UnblockUser": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/MuteUser": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/UpdateMute": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/UnmuteUser": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/ListBlockedUsers": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/ListMutedUsers": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/ListRelationships": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/PreviewAccess": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/UpdatePrivacySetting": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/ListPrivacyExceptions": "users.act",
  "nexgate.privacy.v1.PrivacyControlService/UpdatePrivacyExceptions": "users.act",
  "nexgate.privacy.v1.AccessService/CheckAccess": "access.read",
  "nexgate.privacy.v1.AccessService/BatchCheckAccess": "access.read",
  "nexgate.privacy.v1.AccessService/FilterUsers": "access.read",
  "nexgate.privacy.v1.AccessService/FilterViewers": "access.read",
  "nexgate.privacy.v1.AccessService/ExplainAccess": "access.explain",
  "nexgate.privacy.v1.AccessService/ListHiddenUsers": "access.read",
  "nexgate.privacy.v1.ChangeService/WatchChanges": "changes.read",
  "nexgate.privacy.v1.ChangeService/ReadChanges": "changes.read",
  "nexgate.privacy.v1.GraphService/GetUser": "graph.read",
  "nexgate.privacy.v1.GraphService/FindUsers": "graph.read",
  "nexgate.privacy.v1.GraphService/GetRelationship": "graph.read",
  "nexgate.privacy.v1.GraphService/GetImport": "graph.read",
  "nexgate.privacy.v1.GraphService/ExportRecords": "graph.read",
  "nexgate.privacy.v1.GraphService/UpsertUsers": "graph.write",
  "nexgate.privacy.v1.GraphService/DeleteUser": "graph.write",
  "nexgate.privacy.v1.GraphService/FollowUser": "graph.write",
  "nexgate.privacy.v1.GraphService/UnfollowUser": "graph.write",
  "nexgate.privacy.v1.GraphService/ImportEdges": "graph.write",
  "grpc.health.v1.Health/Check": null,
  "grpc.health.v1.Health/List": null,
  "grpc.health.v1.Health/Watch": null,
  "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": null,
  "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": null,
};

/** An id that nothing else uses. */
const spare = "5ba7e000-0000-4000-8000-000000000001";
/** Another one, to be erased: an upsert of the same user may be UNAVAILABLE while the erasure has the user's lock. */
const erased = "5ba7e000-0000-4000-8000-000000000002";

/** The id of the follower of a target in requests; never that of a random user. Both must be registered. */
export function followerOf(target: string): string {
  // RFC 9562: random ids are of version 4, those that applications make up of version 8.
  return `${target.slice(0, 14)}8${target.slice(15)}`;
}

/** A good request of a method with regard to a user, where an empty one is not good. */
const requests: Readonly<Record<string, (target: string) => JsonValue>> = {
  BlockUser: (userId) => ({ userId }),
  UpdateBlock: (userId) => ({ userId }),
  UnblockUser: (userId) => ({ userId }),
  MuteUser: (userId) => ({ userId }),
  UpdateMute: (userId) => ({ userId, scopes: ["MUTE_SCOPE_NOTIFICATIONS"] }),
  UnmuteUser: (userId) => ({ userId }),
  ListRelationships: (userId) => ({ userIds: [userId] }),
  PreviewAccess: (userId) => ({ userId }),
  UpdatePrivacySetting: () => ({ setting: "PRIVACY_SETTING_STATUS", value: "AUDIENCE_CONTACTS" }),
  ListPrivacyExceptions: () => ({ setting: "PRIVACY_SETTING_STATUS" }),
  UpdatePrivacyExceptions: (id) => ({ setting: "PRIVACY_SETTING_STATUS", addUserIds: [id] }),
  CheckAccess: (id) => ({ signedOut: true, ownerId: id, interaction: "INTERACTION_VIEW_STATUS" }),
  FilterUsers: (id) => ({ signedOut: true, ownerIds: [id], interaction: "INTERACTION_VIEW_STATUS" }),
  FilterViewers: (id) => ({ ownerId: id, viewerIds: [id], interaction: "INTERACTION_VIEW_STATUS" }),
  ExplainAccess: (id) => ({ signedOut: true, ownerId: id }),
  ListHiddenUsers: (viewerId) => ({ viewerId }),
  GetUser: (userId) => ({ userId }),
  FindUsers: () => ({ userName: "spare" }),
  GetRelationship: (id) => ({ userId: id, otherUserId: id }),
  GetImport: () => ({ importId: spare }),
  UpsertUsers: () => ({ users: [{ id: spare, userName: "spare" }] }),
  DeleteUser: () => ({ userId: erased }),
  FollowUser: (id) => ({ followerId: followerOf(id), followeeId: id }),
  UnfollowUser: (id) => ({ followerId: followerOf(id), followeeId: id }),
  ImportEdges: () => ({ importId: spare }),
  ServerReflectionInfo: () => ({ listServices: "" }),
};

/** Every method of every service that is defined, ours and gRPC's own. */
export const methods: readonly DescMethod[] = (
  await Promise.all(globSync("gen/**/*_pb.ts").sort().map(servicesOf))
)
  .flat()
  .flatMap((service) => service.methods);

/** The name of a method, as its path has it. */
export function nameOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** A good request of a method as JSON, for protobuf's spelling of enums. */
export function jsonOf(method: DescMethod, target: string): JsonValue {
  return requests[method.name]?.(target) ?? {};
}

/** A good request of a method. */
export function requestOf(method: DescMethod, target: string) {
  return create(method.input, fromJson(method.input, jsonOf(method, target)));
}

async function servicesOf(file: string): Promise<DescService[]> {
  const exported: DescService[] = Object.values(await import(`../../../${file}`));
  return exported.filter(({ kind }) => kind === "service");
}
