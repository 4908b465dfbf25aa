import { expect } from "chai";
import { audiences, privacySettings } from "../../../src/domain/settings.ts";
import { expectUnknownActor, type TestStore, unknownId } from "./store.ts";

const defaults = {
  last_seen: "all",
  profile_picture: "all",
  status: "all",
  read_receipts: "all",
  groups: "all",
};

export function describeSettings(store: () => TestStore): void {
  describe("settings", () => {
    it("are the default until chosen", async () => {
      expect(await store().settings.get(await store().newUser())).to.eql(defaults);
    });

    it("keep every audience of each setting", async () => {
      const [user, other] = [await store().newUser(), await store().newUser()];
      for (const setting of privacySettings) {
        for (const audience of audiences) {
          await store().settings.set(user, setting, audience);
          expect(await store().settings.get(user)).to.eql({ ...defaults, [setting]: audience });
        }
        await store().settings.set(user, setting, "all");
      }
      expect(await store().settings.get(other)).to.eql(defaults);
    });

    it("survive simultaneous choices of one setting", async () => {
      const user = await store().newUser();
      await Promise.all(audiences.map((audience) => store().settings.set(user, "groups", audience)));
      expect(audiences).to.include((await store().settings.get(user)).groups);
    });

    it("know an unknown user", async () => {
      await expectUnknownActor(store().settings.get(unknownId()));
      await expectUnknownActor(store().settings.set(unknownId(), "groups", "none"));
    });
  });
}
