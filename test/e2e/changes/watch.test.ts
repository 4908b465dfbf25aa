import { randomUUID } from "node:crypto";
import { expect } from "chai";
import { embedded, postgresql } from "../../support/backends.ts";
import { startService, type TestService } from "../../support/service.ts";
import { say, watch } from "../../support/watcher.ts";

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`watching the changes on ${backend}`, function () {
    this.timeout(60_000);
    let service: TestService;
    before(async function () {
      service = await startService(await databaseUrl(this));
    });
    after(() => service?.stop(0));

    it("sends what is committed from the start of the call on", async () => {
      const [ann, bob] = [randomUUID(), randomUUID()];
      const watcher = await (await watch(service)).begun();
      for (const id of [ann, bob])
        await service.graph.upsertUsers({ users: [{ id, userName: "someone" }] }, await service.acting());
      await service.graph.followUser({ followerId: ann, followeeId: bob }, await service.acting());
      await service.rest("POST", `/api/v1/e-social/privacy-control/block/${ann}`, { as: bob });
      expect((await watcher.sees(5)).map(say)).to.eql([
        `${ann} userAdded`,
        `${bob} userAdded`,
        `${ann} follow ${bob}`,
        `${bob} block ${ann}`,
        `${ann} unfollow ${bob}`,
      ]);
      await watcher.stop();
    });
  });
}
