import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { Effect, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import {
  PreviewCause,
  type PreviewedInteractionSchema,
  type PrivacyControlService,
} from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { type PreviewedInteraction, previewAccess } from "../domain/preview.ts";
import type { PreviewReader } from "../store/preview.ts";
import { withActingUser } from "./caller.ts";
import { fromAudience, fromSetting, toUserId } from "./proto-mapping.ts";

/** Shows the acting user's account as others see it. */
export function previewHandlers(
  choices: PreviewReader,
): Pick<ServiceImpl<typeof PrivacyControlService>, "previewAccess"> {
  return {
    previewAccess: ({ userId }, context) =>
      withActingUser(context, async (actor) => {
        const viewer = userId === "" ? null : toUserId(userId);
        const found = await choices.read(actor, viewer, context.signal);
        return { interactions: previewAccess(viewer, actor, found).map(fromPreviewed) };
      }),
  };
}

function fromPreviewed({
  interaction,
  effect,
  cause,
  setting,
  audience,
}: PreviewedInteraction): MessageInitShape<typeof PreviewedInteractionSchema> {
  return {
    interaction: Interaction[interaction],
    effect: Effect[effect],
    cause: cause === null ? PreviewCause.UNSPECIFIED : PreviewCause[cause],
    setting: setting === null ? PrivacySetting.UNSPECIFIED : fromSetting(setting),
    audience: audience === null ? Audience.UNSPECIFIED : fromAudience(audience),
  };
}
