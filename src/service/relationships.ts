import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type {
  PrivacyControlService,
  UserRelationshipSchema,
} from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import type { OwnRelationship } from "../domain/edges.ts";
import type { RelationshipsReader } from "../store/relationships.ts";
import { withActingUser } from "./caller.ts";
import { fromDatedTerms, toUserId } from "./proto-mapping.ts";

/** Tells the acting user's own side of relationships. */
export function relationshipHandlers(
  relationships: RelationshipsReader,
): Pick<ServiceImpl<typeof PrivacyControlService>, "listRelationships"> {
  return {
    listRelationships: ({ userIds }, context) =>
      withActingUser(context, async (actor) => {
        const found = await relationships.read(actor, userIds.map(toUserId), context.signal);
        return { relationships: found.map(fromRelationship) };
      }),
  };
}

function fromRelationship({
  user,
  following,
  blocking,
  muting,
}: OwnRelationship): MessageInitShape<typeof UserRelationshipSchema> {
  return {
    userId: user,
    ...(following !== null && { following: fromDatedTerms(following) }),
    ...(blocking !== null && { blocking: fromDatedTerms(blocking) }),
    ...(muting !== null && { muting: fromDatedTerms(muting) }),
  };
}
