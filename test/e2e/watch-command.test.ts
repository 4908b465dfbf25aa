import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Http2Server } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { expect } from "chai";
import {
  ChangeService,
  type WatchChangesRequest,
  WatchChangesResponseSchema,
} from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { toConnectError } from "../../src/call/errors.ts";
import { type ErrorReason, PrivacyError } from "../../src/domain/errors.ts";
import { id } from "../support/import-content.ts";
import { type RunningScript, runFile } from "../support/process.ts";
import { startService, type TestService } from "../support/service.ts";

const linesOf = (text: string) =>
  text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));

describe("npm run watch", function () {
  this.timeout(120_000);
  let folder: string;
  const running: RunningScript[] = [];
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
  });
  afterEach(async () => {
    for (const script of running.splice(0)) await script.stop("SIGKILL");
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function watch(url: string, token: string, ...args: string[]): RunningScript {
    const file = join(folder, "token");
    writeFileSync(file, token);
    const script = runFile("src/watch.ts", {}, [], ["--url", url, "--token-file", file, ...args]);
    running.push(script);
    return script;
  }

  describe("of the service", () => {
    let service: TestService;
    let options: CallOptions;
    before(async () => {
      service = await startService();
      options = await service.acting();
      const users = [1, 2, 3].map((n) => ({ id: id(n), userName: `user${n}` }));
      await service.graph.upsertUsers({ users }, options);
    });
    after(() => service?.stop(1_000));

    const follow = (from: number, to: number) =>
      service.graph.followUser({ followerId: id(from), followeeId: id(to) }, options);
    const unfollow = (from: number, to: number) =>
      service.graph.unfollowUser({ followerId: id(from), followeeId: id(to) }, options);
    const watchService = async (...args: string[]) =>
      watch(service.internalUrl, await service.serviceToken("changes.read"), ...args);

    it("writes what holds, then each change, and ends with 0 and the last cursor when interrupted", async () => {
      await follow(1, 2);
      const script = await watchService("--snapshot", "--cursors");
      await script.sees(/"complete":true/);
      await unfollow(1, 2);
      const output = await script.sees(/"present":false.*\n(.*\n)*.*"type":"cursor"/);
      expect(await script.stop("SIGINT")).to.equal(0);
      const lines = linesOf(output);
      // What was committed just before may come once more, as a change.
      const held = lines.filter(({ version }) => version === undefined);
      expect(held.filter(({ type }) => type === "user")).to.have.deep.members(
        [1, 2, 3].map((n) => ({ type: "user", userId: id(n), present: true })),
      );
      const [made] = held.filter(({ type }) => type === "follow");
      const ended = lines.findLast(({ type }) => type === "follow");
      const pair = { type: "follow", ownerId: id(1), targetId: id(2) };
      expect(made).to.eql({ ...pair, present: true, createdAt: made.createdAt });
      expect(made.createdAt).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
      const { version, changedAt, ...rest } = ended;
      expect(rest).to.eql({ ...pair, present: false, cause: "service" });
      expect([version, changedAt]).to.satisfy(
        ([v, at]: [string, string]) => /^\d+$/.test(v) && /Z$/.test(at),
      );
      const { cursor } = linesOf(script.output()).findLast(({ type }) => type === "cursor");
      expect(script.output()).to.contain(`To go on from here: --cursor ${cursor}\n`);
    });

    it("goes on after a cursor, with changes of some kinds that name one user only", async () => {
      const first = await watchService("--cursors", "--kinds", "follow");
      await first.sees(/"type":"cursor"/);
      expect(await first.stop("SIGTERM")).to.equal(0);
      const [, cursor = ""] = /--cursor (\S+)/.exec(first.output()) ?? [];
      await follow(2, 3);
      await follow(3, 1);
      await follow(1, 3);
      const second = await watchService(
        "--cursor",
        cursor,
        "--kinds",
        "follow",
        "--user",
        id(1).toUpperCase(),
      );
      await second.sees(new RegExp(`"ownerId":"${id(1)}","targetId":"${id(3)}"`));
      const pairs = linesOf(second.output()).map(({ ownerId, targetId }) => [ownerId, targetId]);
      expect(pairs).to.eql([
        [id(3), id(1)],
        [id(1), id(3)],
      ]);
      const other = await watchService("--cursor", cursor, "--kinds", "block");
      expect(await other.exited).to.equal(1);
      expect(other.output()).to.match(/: Invalid cursor\n$/);
    });

    it("writes the erasure of a user whom others follow to those who watch one of them", async () => {
      await service.graph.upsertUsers({ users: [{ id: id(4), userName: "user4" }] }, options);
      await follow(1, 4);
      const script = await watchService("--user", id(1), "--cursors");
      await script.sees(/"type":"cursor"/);
      await service.graph.deleteUser({ userId: id(4) }, options);
      await follow(1, 3);
      await unfollow(1, 3);
      await script.sees(new RegExp(`"targetId":"${id(3)}","present":false`));
      const erasures = linesOf(script.output()).filter(({ cause }) => cause === "erasure");
      expect(erasures.map(({ userId, present }) => [userId, present])).to.eql([[id(4), false]]);
    });

    it("ends quietly when its reader has gone", async () => {
      const script = await watchService("--cursors");
      await script.sees(/"type":"cursor"/);
      script.child.stdout?.destroy();
      const end = script.exited;
      let isOver = false;
      void end.then(() => {
        isOver = true;
      });
      while (!isOver) {
        await follow(2, 1);
        await unfollow(2, 1);
      }
      expect(await end).to.equal(0);
      expect(script.output()).not.to.match(/EPIPE|Error/);
    });

    it("says in one line what is wrong", async () => {
      const wrong: [string[], RegExp][] = [
        [["--snapshot", "--cursor", "a"], /^Give either --snapshot or --cursor\.\n$/],
        [["--user", "ann"], /^--user must be the UUID of a user, not ann\.\n$/],
        [["--kinds", "block,like"], /^--kinds must name some of block, mute, .*, user, not like\.\n$/],
        [["--cursor", "nonsense"], /: Invalid cursor\n$/],
        [["here"], /^Unexpected argument 'here'\. Known options: --url, /],
      ];
      for (const [args, message] of wrong) {
        const script = await watchService(...args);
        expect(await script.exited).to.equal(1);
        expect(script.output()).to.match(message);
      }
      const script = watch(service.internalUrl, await service.serviceToken("graph.read"));
      expect(await script.exited).to.equal(1);
      expect(script.output()).to.match(/^The service refuses the call: .* To watch needs changes\.read\.\n$/);
    });
  });

  describe("of a service that fails", () => {
    let server: Http2Server;
    /** What each call is answered by, in their order: messages, then a failure. */
    let answers: ((request: WatchChangesRequest) => (string | ErrorReason)[])[];
    const requests: WatchChangesRequest[] = [];
    let url: string;
    before(async () => {
      const handler = connectNodeAdapter({
        routes: (router) =>
          router.service(ChangeService, {
            async *watchChanges(request) {
              requests.push(request);
              for (const answer of answers.shift()?.(request) ?? []) {
                if (answer === answer.toUpperCase())
                  throw toConnectError(new PrivacyError(answer as ErrorReason));
                const change = { case: "userAdded", value: { userId: answer } } as const;
                yield create(WatchChangesResponseSchema, {
                  cursor: `after ${answer}`,
                  changes: [{ change }],
                });
              }
              await new Promise(() => {});
            },
          }),
      });
      server = createServer(handler).listen(0, "127.0.0.1");
      await once(server, "listening");
      url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    });
    beforeEach(() => {
      requests.length = 0;
    });
    after(() => server?.close());

    it("is followed again from the last cursor", async () => {
      answers = [
        () => ["one", "two", "UNAVAILABLE"],
        () => ["OVERLOADED"],
        () => ["UNAVAILABLE"],
        () => ["three"],
      ];
      const script = watch(url, "token", "--snapshot");
      await script.sees(/three/);
      expect(linesOf(script.output()).map(({ userId }) => userId)).to.eql(["one", "two", "three"]);
      const again = { case: "cursor", value: "after two" };
      expect(requests.map(({ start }) => start)).to.eql([
        { case: "snapshot", value: true },
        again,
        again,
        again,
      ]);
      expect(script.output().match(/Calling again in/g)).to.have.length(3);
      expect(script.output()).to.contain(" is followed again.\n");
      expect(await script.stop("SIGINT")).to.equal(0);
    });

    for (const reason of ["CURSOR_EXPIRED", "HISTORY_CHANGED"] as const)
      it(`ends with 2 after ${reason}, and says what to do`, async () => {
        answers = [() => ["one", "UNAVAILABLE"], () => [reason]];
        const script = watch(url, "token");
        expect(await script.exited).to.equal(2);
        expect(script.output()).to.match(
          /\.\s+Begin again with --snapshot, and replace what was made of the changes so far\.\n/,
        );
      });

    it("is not called again when it has never answered", async () => {
      answers = [() => ["UNAVAILABLE"]];
      const script = watch(url, "token", "--cursor", "given");
      expect(await script.exited).to.equal(1);
      expect(script.output()).to.match(
        /: Temporarily unavailable, try again later\. Run the command again\.\n$/,
      );
      expect(requests).to.have.length(1);
    });
  });
});
