import inspector from "node:inspector/promises";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { AccessService, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { ChangeService } from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { postgresUrl } from "../support/cluster.ts";
import { untilGraphReady } from "../support/graph.ts";
import { filesInSequence } from "../support/mermaid.ts";
import { startService, type TestService } from "../support/service.ts";

const viewer = "c4110000-0000-4000-8000-000000000001";
const owner = "c4110000-0000-4000-8000-000000000002";
const base = "/api/v1/e-social/privacy-control";
const source = fileURLToPath(new URL("../../src/", import.meta.url));

/** How often a call is made: a file that a timer runs meanwhile does not run in each of them. */
const repetitions = 5;

/** The files of src of which a function runs in every one of several calls. */
async function filesOf(call: () => Promise<unknown>, undo: () => Promise<unknown>): Promise<string[]> {
  await using session = Object.assign(new inspector.Session(), {
    [Symbol.asyncDispose]: async () => session.disconnect(),
  });
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
  const runs: string[][] = [];
  // The first calls compile and prepare what later ones find.
  for (let turn = 0; turn < repetitions + 2; turn++) {
    await callWhenServed(async () => {
      await session.post("Profiler.takePreciseCoverage");
      await call();
    }, undo);
    const { result } = await session.post("Profiler.takePreciseCoverage");
    await callWhenServed(undo, undo);
    const files = result
      .filter(({ functions }) => functions.some(({ ranges }) => (ranges[0]?.count ?? 0) > 0))
      .map(({ url }) => (url.startsWith("file:") ? fileURLToPath(url) : ""))
      .filter((file) => file.startsWith(source))
      .map((file) => file.slice(source.length));
    if (turn >= 2) runs.push(files);
  }
  await session.post("Profiler.stopPreciseCoverage");
  const [first = [], ...others] = runs;
  return first.filter((file) => others.every((files) => files.includes(file))).sort();
}

/** Repeats a call that fails: collecting the coverage stops the event loop for so long that the probe gives up. */
async function callWhenServed(
  call: () => Promise<unknown>,
  undo: () => Promise<unknown>,
  attempts = 20,
): Promise<void> {
  try {
    await call();
  } catch (failure) {
    if (attempts === 1) throw failure;
    await delay(200);
    // It may have had an effect.
    await undo().catch(() => {});
    await callWhenServed(call, undo, attempts - 1);
  }
}

describe("the files of src that one call runs through", () => {
  let service: TestService;
  before(async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    service = await startService(url);
    await service.graph.upsertUsers(
      {
        users: [viewer, owner].map((id, index) => ({
          id,
          userName: `call-path-${index}`,
          firstName: "A",
          lastName: "B",
          email: `call-path-${index}@example.com`,
        })),
      },
      await service.acting(),
    );
  });
  after(() => service?.stop(0));

  it("are few for a block over REST, and those that ARCHITECTURE.md shows", async () => {
    const headers = { authorization: `Bearer ${await service.userToken(viewer)}` };
    const call = async (method: string, path: string) => {
      const response = await fetch(`${service.publicUrl}${base}${path}/${owner}`, { method, headers });
      expect(response.status).to.equal(200);
      await response.text();
    };
    const files = await filesOf(
      () => call("POST", "/block"),
      () => call("DELETE", "/unblock"),
    );
    expect(files).to.include.members(["service/blocks.ts", ...filesInSequence("A block over REST")]);
    expect(files.length, files.join("\n")).to.be.at.most(48);
  });

  it("are few for a decision over gRPC, and those that ARCHITECTURE.md shows", async () => {
    const client = createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl }));
    const options = await service.acting();
    const request = {
      viewer: { case: "viewerId", value: viewer },
      ownerId: owner,
      interaction: Interaction.FOLLOW,
    } as const;
    const files = await filesOf(
      () => client.checkAccess(request, options),
      () => untilGraphReady(service),
    );
    expect(files).to.include.members(["service/access.ts", ...filesInSequence("A check over gRPC")]);
    // With room for work that runs beside the call, such as a poll of the change log.
    expect(files.length, files.join("\n")).to.be.at.most(52);
  });

  it("of a change until a follower has it include those that ARCHITECTURE.md shows", async () => {
    const headers = { authorization: `Bearer ${await service.userToken(viewer)}` };
    const client = createClient(ChangeService, createGrpcTransport({ baseUrl: service.internalUrl }));
    const options = await service.acting();
    const stopped = new AbortController();
    const followed = client.watchChanges({}, { ...options, signal: stopped.signal })[Symbol.asyncIterator]();
    const received = async (present: boolean) => {
      for (;;) {
        const { value, done } = await followed.next();
        if (done) throw new Error("the stream has ended");
        for (const { change } of value.changes)
          if (change.case === "block" && change.value.ownerId === viewer && change.value.present === present)
            return;
      }
    };
    await followed.next();
    const call = async (method: string, path: string, present: boolean) => {
      const response = await fetch(`${service.publicUrl}${base}${path}/${owner}`, { method, headers });
      expect(response.status).to.equal(200);
      await response.text();
      await received(present);
    };
    try {
      const files = await filesOf(
        () => call("POST", "/block", true),
        () => call("DELETE", "/unblock", false),
      );
      expect(files).to.include.members(filesInSequence("A change on its way to a follower"));
    } finally {
      stopped.abort();
    }
  });
});
