import type { ServiceImpl } from "@connectrpc/connect";
import type { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import type { SettingsRepository } from "../store/settings.ts";
import { asActor } from "./acting.ts";
import { fromAudience, toAudience, toSetting } from "./convert.ts";

type Handlers = Pick<
  ServiceImpl<typeof PrivacyControlService>,
  "getPrivacySettings" | "updatePrivacySetting"
>;

/** Reads and changes the audiences of the acting user's settings. */
export function settingHandlers(settings: SettingsRepository): Handlers {
  return {
    getPrivacySettings: (_request, context) =>
      asActor(context, async (actor) => {
        const chosen = await settings.get(actor, context.signal);
        return {
          settings: {
            lastSeen: fromAudience(chosen.last_seen),
            profilePicture: fromAudience(chosen.profile_picture),
            status: fromAudience(chosen.status),
            readReceipts: fromAudience(chosen.read_receipts),
            groups: fromAudience(chosen.groups),
          },
        };
      }),

    updatePrivacySetting: (request, context) =>
      asActor(context, async (actor) => {
        await settings.set(actor, toSetting(request.setting), toAudience(request.value), context.signal);
        return {};
      }),
  };
}
