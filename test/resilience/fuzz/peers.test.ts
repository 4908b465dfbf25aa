import { randomUUID } from "node:crypto";
import { type DescMethod, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { postgresUrl } from "../../support/cluster.ts";
import { isNeeded } from "../../support/programs.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { methods, nameOf, requestOf } from "../support/methods.ts";
import { register } from "../support/users.ts";
import { byGrpcio, byGrpcJs, type MakeCalls, type PeerCall } from "./peers.ts";

const unary = methods.filter(({ methodKind }) => methodKind === "unary");

describe("two implementations of gRPC", function () {
  this.timeout(180_000);
  let instance: Instance;
  let grpcio: MakeCalls;
  const [user, target] = [randomUUID(), randomUUID()];
  before(async function () {
    const found = isNeeded("python3-grpcio", await byGrpcio());
    if (found === undefined) return this.skip();
    grpcio = found;
    instance = await startInstance({ database: await postgresUrl() });
    await register(instance.internalUrl, await instance.serviceToken(), [user, target]);
  });
  after(() => instance?.[Symbol.asyncDispose]());

  it("receive the same codes, on both listeners", async () => {
    const good = { authorization: `Bearer ${await instance.serviceToken()}`, "x-acting-user": user };
    const asUser = { authorization: `Bearer ${await instance.userToken(user)}` };
    for (const [url, metadata] of [
      [instance.internalUrl, good],
      [instance.publicUrl, asUser],
    ] as const) {
      const calls = [...oddCalls(metadata), ...mutants(metadata, 150)];
      const { host } = new URL(url);
      const codes = await byGrpcJs(host, calls);
      expect(codes).to.eql(await grpcio(host, calls));
      expect(codes).to.not.include.members(["INTERNAL"]);
      expect(codes).to.not.include.members(["UNKNOWN"]);
      expect(new Set(codes).size).to.be.above(4);
    }
    expect(instance.ended()).to.equal(undefined);
  });

  function oddCalls(metadata: Record<string, string>): PeerCall[] {
    const [method] = unary.filter(({ name }) => name === "GetPrivacySettings");
    const good = callOf(method as DescMethod, metadata);
    return [
      good,
      { ...good, path: "/nexgate.privacy.v1.PrivacyControlService/No" },
      { ...good, path: "/no.Service/No" },
      { ...good, path: "/" },
      { ...good, metadata: {} },
      { ...good, metadata: { authorization: "Bearer x" } },
      { ...good, metadata: { ...metadata, "x-acting-user": "alice" } },
      { ...good, metadata: { ...metadata, "x-long": "a".repeat(7_000) } },
      { ...good, message: Buffer.from([0x0a, 0x02, 0xc3, 0x28]) },
      { ...good, message: Buffer.alloc(60_000, 0x01) },
      { ...good, message: Buffer.alloc(2_000_000) },
      { ...good, timeout: 3_600_000_000 },
    ];
  }

  /** Good calls of every method, and as many more as asked for whose message is random or changed. */
  function mutants(metadata: Record<string, string>, count: number): PeerCall[] {
    const changed = fc
      .tuple(
        fc.constantFrom(...unary),
        fc.nat(100),
        fc.nat(255),
        fc.boolean(),
        fc.uint8Array({ maxLength: 60 }),
      )
      .map(([method, at, byte, isRandom, random]) => {
        const call = callOf(method, metadata);
        const message = isRandom ? Buffer.from(random) : Buffer.from(call.message);
        if (!isRandom && message.length > 0) message[at % message.length] = byte;
        return { ...call, message };
      })
      // What a first call changes, a second one finds changed.
      .filter(({ path }) => !/(?:Block|Mute|Delete|Follow|Upsert)/.test(path));
    return [
      ...unary.filter(({ name }) => !/^(?:Block|Mute)/.test(name)).map((method) => callOf(method, metadata)),
      ...fc.sample(changed, count),
    ];
  }

  const callOf = (method: DescMethod, metadata: Record<string, string>): PeerCall => ({
    path: `/${nameOf(method)}`,
    metadata,
    message: Buffer.from(toBinary(method.input, requestOf(method, target))),
    timeout: 20_000,
  });
});
