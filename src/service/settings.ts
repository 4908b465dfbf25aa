import type { ServiceImpl } from "@connectrpc/connect";
import type { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import type { SettingsRepository } from "../store/settings.ts";
import { withActingUser } from "./caller.ts";
import type { ConsistencyTokens } from "./consistency-tokens.ts";
import { fromSettings, toAudience, toSetting } from "./proto-mapping.ts";

type Handlers = Pick<
  ServiceImpl<typeof PrivacyControlService>,
  "getPrivacySettings" | "updatePrivacySetting"
>;

/** Reads and changes the audiences of the acting user's settings. */
export function settingHandlers(settings: SettingsRepository, consistency: ConsistencyTokens): Handlers {
  return {
    getPrivacySettings: (_request, context) =>
      withActingUser(context, async (actor) => {
        return { settings: fromSettings(await settings.get(actor, context.signal)) };
      }),

    updatePrivacySetting: (request, context) =>
      withActingUser(context, async (actor) => {
        const [setting, audience] = [toSetting(request.setting), toAudience(request.value)];
        consistency.send(context, await settings.set(actor, setting, audience, context.signal));
        return {};
      }),
  };
}
