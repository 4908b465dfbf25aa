import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { type CallOptions, type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { AccessService, InteractionSchema } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { demoUsers, loadDemoData } from "../../src/development/demo-data.ts";
import { openDatabase } from "../../src/store/database.ts";
import { id } from "../support/import-content.ts";
import { runFile } from "../support/process.ts";
import { startService, type TestService } from "../support/service.ts";

const scopes = "access.explain graph.read";
const idOf = (name: string) => demoUsers.find(({ userName }) => userName === name)?.id as string;
const [alice, bob, spam] = ["alice", "bob", "spam_account"].map(idOf) as [string, string, string];

describe("npm run explain", function () {
  this.timeout(120_000);
  let folder: string;
  let service: TestService;
  let control: Client<typeof PrivacyControlService>;
  let options: CallOptions;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
    service = await startService(undefined, {}, async (given) => {
      const database = await openDatabase(given);
      await database.migrate();
      await loadDemoData(database);
      return database;
    });
    control = createClient(PrivacyControlService, createGrpcTransport({ baseUrl: service.internalUrl }));
    options = await service.acting();
    const asAlice = await service.acting(alice);
    await control.blockUser({ userId: spam }, asAlice);
    await control.muteUser({ userId: bob }, asAlice);
    const setting = PrivacySetting.GROUPS;
    await control.updatePrivacySetting({ setting, value: Audience.CONTACT_BLACKLIST }, asAlice);
    await control.updatePrivacyExceptions({ setting, addUserIds: [bob] }, asAlice);
  });
  after(async () => {
    await service?.stop(1_000);
    rmSync(folder, { recursive: true, force: true });
  });

  async function run(args: string[], environment: Record<string, string> = {}, granted = scopes) {
    const file = join(folder, "token");
    writeFileSync(file, await service.serviceToken(granted));
    const own = ["--url", service.internalUrl, "--token-file", file];
    const script = runFile("src/explain.ts", environment, [], [...own, ...args]);
    return { code: await script.exited, output: script.output() };
  }
  const lineOf = (text: string, beginning: string) =>
    text.split("\n").find((line) => line.trimStart().startsWith(beginning)) ?? "";

  it("shows every interaction with its effect and cause, and the facts", async () => {
    const { code, output } = await run(["bob", alice.toUpperCase()]);
    expect(code).to.equal(0);
    expect(output).to.match(new RegExp(`^ {2}Viewer {2}${bob} {2}bob {4}Bob Kimaro\n {2}Owner {3}${alice} `));
    const lines = InteractionSchema.values.slice(1).map(({ localName }) => {
      const words = localName.toLowerCase().replaceAll("_", " ");
      return lineOf(output, words).slice(2).split(/ {2,}/);
    });
    expect(lines.map(([, effect]) => effect)).to.eql([...Array(lines.length - 1).fill("ALLOW"), "DENY"]);
    expect(lines.at(-1)?.[2]).to.equal(
      "outside the audience of groups (contact_blacklist): bob is an exception",
    );
    expect(lineOf(output, "alice blocks bob")).to.match(/ no$/);
    expect(lineOf(output, "alice follows bob")).to.match(/ since 20\S+Z: bob is a contact of alice$/);
    expect(lineOf(output, "status")).to.match(/^ {2}status +all +yes$/);
    expect(lineOf(output, "groups")).to.match(/ contact_blacklist +no: bob is an exception$/);

    const blocked = await run(["spam_account", "alice"]);
    expect(lineOf(blocked.output, "send message")).to.match(/ DENY +alice blocks spam_account$/);
    expect(lineOf(blocked.output, "alice blocks spam_account")).to.match(/ since 20\S+Z$/);
    const muting = await run(["alice", "bob"]);
    expect(lineOf(muting.output, "view content")).to.match(/ HIDE +alice mutes bob$/);
    const oneself = await run(["bob", "bob"]);
    expect(lineOf(oneself.output, "view status")).to.match(/ ALLOW +the viewer is the owner$/);
    expect(lineOf(oneself.output, "the viewer is")).to.match(/: no block, mute, follow or setting counts$/);
    expect(lineOf(oneself.output, "the viewer blocks")).to.equal("");
  });

  it("shows what a signed-out viewer may do", async () => {
    const { code, output } = await run(["--signed-out", "alice"]);
    expect(code).to.equal(0);
    expect(lineOf(output, "Viewer")).to.equal("  Viewer  not signed in");
    expect(lineOf(output, "follow")).to.match(/ DENY +nobody is signed in$/);
    expect(lineOf(output, "view profile ")).to.match(/ ALLOW +nothing restricts it$/);
  });

  it("is in colour where FORCE_COLOR is set, not in a pipe and not where NO_COLOR is set", async () => {
    const plain = await run(["bob", "alice"]);
    expect(plain.output).to.equal(stripVTControlCharacters(plain.output));
    const { output } = await run(["bob", "alice"], { FORCE_COLOR: "1" });
    const withoutTime = (text: string) => text.replace(/at 20\S+Z/, "");
    expect(output).to.not.equal(stripVTControlCharacters(output));
    expect(withoutTime(stripVTControlCharacters(output))).to.equal(withoutTime(plain.output));
    const without = await run(["bob", "alice"], { NO_COLOR: "1" });
    expect(without.output).to.equal(stripVTControlCharacters(without.output));
  });

  it("writes one JSON object with --json: the users, and the answer of ExplainAccess", async () => {
    const { code, output } = await run(["bob", "alice", "--json"], { FORCE_COLOR: "1" });
    expect(code).to.equal(0);
    const { viewer, owner, interactions, facts, consistencyToken, ...rest } = JSON.parse(output);
    expect(rest).to.eql({});
    expect([viewer, owner]).to.eql(demoUsers.filter(({ id }) => id === alice || id === bob).toReversed());
    const access = createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl }));
    const request = { viewer: { case: "viewerId", value: bob }, ownerId: alice } as const;
    const answer = await access.explainAccess(request, options);
    expect(interactions).to.have.length(answer.interactions.length);
    expect(interactions.at(-1)).to.eql({
      interaction: "INTERACTION_ADD_TO_GROUP",
      effect: "EFFECT_DENY",
      cause: "CAUSE_AUDIENCE",
      setting: "PRIVACY_SETTING_GROUPS",
    });
    expect([facts.viewerKnown, facts.ownerKnown, facts.blocking]).to.eql([true, true, undefined]);
    expect(facts.contact.createdAt).to.match(/^20\S+Z$/);
    expect(facts.settings.at(-1)).to.eql({
      setting: "PRIVACY_SETTING_GROUPS",
      audience: "AUDIENCE_CONTACT_BLACKLIST",
      excepted: true,
      includesViewer: false,
    });
    expect(consistencyToken).to.have.length(answer.consistencyToken.length);
    const signedOut = JSON.parse((await run(["--json", "--signed-out", "bob"])).output);
    expect([signedOut.viewer, signedOut.facts.viewerKnown]).to.eql([null, false]);
  });

  it("says who is unknown, and lists those whom a name could mean", async () => {
    const users = [id(2), id(1)].map((id, n) => ({
      id,
      userName: "sam",
      firstName: ["漢字", "\u001b[31mSam"][n] as string,
      lastName: "Moyo",
    }));
    await service.graph.upsertUsers({ users }, options);
    const none = await run(["bobb", "3e000000-0000-4000-8000-00000000000A"]);
    expect(none).to.eql({
      code: 1,
      output:
        'The viewer is unknown: no user is named "bobb".\n' +
        "The owner is unknown: no user has the id 3e000000-0000-4000-8000-00000000000A.\n",
    });
    expect(await run(["bob", "sam"])).to.eql({
      code: 1,
      output:
        'The owner is not clear: 2 users are named "sam". Give an id.\n' +
        `  ${id(1)}  sam  [31mSam Moyo\n  ${id(2)}  sam  漢字 Moyo\n`,
    });
    const more = Array.from({ length: 12 }, (_, n) => ({ id: id(20 + n), userName: "many" }));
    await service.graph.upsertUsers({ users: more }, options);
    expect((await run(["--signed-out", "many"])).output).to.match(/ 10 or more users are named "many"\./);
    expect((await run(["bob", "漢".repeat(65)])).output).to.match(
      /^The owner is unknown: no user is named "漢/,
    );
    const byId = await run([id(1), id(2)]);
    expect(byId.code).to.equal(0);
    expect(lineOf(byId.output, "the viewer blocks")).to.match(/^ {2}the viewer blocks the owner +no$/);
  });

  it("says in one line what is wrong", async () => {
    const wrong: [string[], RegExp][] = [
      [["bob"], /^Give two users, the viewer and the owner\.\n\nUsage:/],
      [["bob", "alice", "carol"], /^Give two users, the viewer and the owner\.\n/],
      [["--signed-out", "bob", "alice"], /^Give one user, the owner\.\n/],
      [["bob", "alice", "--as", "json"], /^Unknown option '--as'\. Known options: .*--signed-out, --json, /],
      [
        ["--url", "http://127.0.0.1:1", "bob", "alice"],
        /^Nothing listens at http:\/\/127\.0\.0\.1:1: is the service running, and --url right\? \(ECONNREFUSED\)\n$/,
      ],
    ];
    for (const [args, message] of wrong) {
      const { code, output } = await run(args);
      expect(output).to.match(message);
      expect(code).to.equal(1);
    }
    for (const granted of ["access.read graph.read", "access.explain"]) {
      const { code, output } = await run(["bob", "alice"], {}, granted);
      expect(output).to.match(
        /^The service refuses the call: .* An explanation needs access\.explain and graph\.read\.\n$/,
      );
      expect(code).to.equal(1);
    }
  });

  it("signs a token with the scopes that it needs", async () => {
    const environment = {
      JWT_SECRET: "the secret that signs tokens in tests",
      JWT_ISSUER: "test",
      JWT_SERVICE_AUDIENCE: "services",
    };
    const script = runFile("src/explain.ts", environment, [], ["--url", service.internalUrl, "bob", "alice"]);
    expect(await script.exited).to.equal(0);
    expect(script.output()).to.contain("What bob may do with regard to alice");
  });
});
