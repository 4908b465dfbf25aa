import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  type ChangeSchema,
  WatchChangesResponseSchema,
} from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { Audience, MuteScope, PrivacySetting } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { ReplicaCopy } from "../../../src/client/replica-copy.ts";
import type { Interaction } from "../../../src/domain/access.ts";
import { idOf } from "../graph/support.ts";
import { changesOf } from "./fake-service.ts";

type ChangeInit = MessageInitShape<typeof ChangeSchema>;

const [ann, bob] = [idOf(1), idOf(2)];
const both = [changesOf.user(ann), changesOf.user(bob)];

const message = (seconds: number | undefined, complete: boolean, changes: ChangeInit[] = []) =>
  create(WatchChangesResponseSchema, {
    changes,
    cursor: `after ${changes.length} at ${seconds}`,
    complete,
    ...(seconds !== undefined && { through: { seconds: BigInt(seconds) } }),
  });

/** The decision of a copy at the time of its state; undefined while it has none. */
const decided = ({ graph, throughMicros }: ReplicaCopy, interaction: Interaction = "FOLLOW") =>
  throughMicros === undefined
    ? undefined
    : graph.decide({ viewer: bob, owner: ann, interaction }, throughMicros)?.effect;

const loaded = async (...more: ChangeInit[]) => {
  const copy = new ReplicaCopy(true);
  await copy.take(message(10, true, [...both, ...more]));
  return copy;
};

describe("the copy of a replica", () => {
  it("has no state before the snapshot is complete", async () => {
    const copy = new ReplicaCopy(true);
    await copy.take(message(undefined, false, both));
    expect(copy).to.include({ throughMicros: undefined, isLoaded: false });
    await copy.take(message(10, true));
    expect(copy).to.include({ throughMicros: 10_000_000, isLoaded: true });
    expect(decided(copy)).to.equal("ALLOW");
  });

  it("is confirmed at its cursor alone, and not within a moment", async () => {
    const copy = await loaded();
    copy.confirm("another", 20_000_000);
    copy.confirm(copy.cursor ?? "", 9_000_000);
    expect(copy.throughMicros).to.equal(10_000_000);
    copy.confirm(copy.cursor ?? "", 20_000_000);
    expect(copy.throughMicros).to.equal(20_000_000);
    await copy.take(message(25, false, [changesOf.block(ann, bob)]));
    copy.confirm(copy.cursor ?? "", 30_000_000);
    expect(copy.throughMicros).to.equal(20_000_000);
    // Another stream begins where the clock of the database is now.
    copy.beginStream();
    await copy.take(message(15, true));
    expect(copy.throughMicros).to.equal(15_000_000);
  });

  it("takes the time of a stream that goes back with the clock of the database", async () => {
    const copy = await loaded();
    copy.confirm(copy.cursor ?? "", 20_000_000);
    await copy.take(message(11, true));
    expect(copy.throughMicros).to.equal(20_000_000);
    // A block that ends before what the clock showed earlier.
    await copy.take(message(5, true, [changesOf.block(ann, bob, 8_000)]));
    expect(copy.throughMicros).to.equal(5_000_000);
    expect(decided(copy)).to.equal("DENY");
  });

  it("has none of a moment before the last of its messages, and then all of it", async () => {
    const copy = await loaded(changesOf.block(ann, bob));
    // In between, neither would hold.
    await copy.take(message(10, false, [changesOf.noBlock(ann, bob)]));
    expect(decided(copy)).to.equal("DENY");
    expect(copy.throughMicros).to.equal(10_000_000);
    await copy.take(message(11, true, [changesOf.block(bob, ann)]));
    expect(decided(copy)).to.equal("DENY");
    expect(copy.throughMicros).to.equal(11_000_000);
    expect(copy.cursor).to.equal("after 1 at 11");
  });

  it("applies what it kept back when the end of the moment brings no change", async () => {
    const copy = await loaded();
    await copy.take(message(10, false, [changesOf.block(ann, bob)]));
    expect(decided(copy)).to.equal("ALLOW");
    await copy.take(message(11, true));
    expect(decided(copy)).to.equal("DENY");
  });

  it("has no state while a long moment is applied, and lets other events be handled", async () => {
    const copy = await loaded();
    const changes = Array.from({ length: 1_000 }, (_, i) => changesOf.block(idOf(10 + i), ann));
    for (let i = 0; i < 10; i++) await copy.take(message(10, false, changes));
    await copy.take(message(10, false, [changesOf.block(ann, bob)]));
    expect(decided(copy)).to.equal("ALLOW");
    const seen: unknown[] = [];
    let isOver = false;
    const look = () => {
      seen.push(decided(copy));
      if (!isOver) setImmediate(look);
    };
    setImmediate(look);
    await copy.take(message(11, true, [changesOf.noBlock(bob, ann)]));
    isOver = true;
    expect(decided(copy)).to.equal("DENY");
    expect(seen.length).to.be.above(2);
    expect(new Set(seen)).to.eql(new Set([undefined]));
  });

  it("has no state from the change on that is one too many to be kept back", async () => {
    const copy = await loaded();
    const changes = Array.from({ length: 1_000 }, () => changesOf.block(ann, bob));
    for (let i = 0; i < 100; i++) await copy.take(message(10, false, changes));
    expect(decided(copy)).to.equal("ALLOW");
    await copy.take(message(10, false, [changesOf.block(ann, bob)]));
    expect(copy).to.include({ throughMicros: undefined, isLoaded: true });
    await copy.take(message(11, true));
    expect(decided(copy)).to.equal("DENY");
    expect(copy.changes).to.equal(100_003);
  }).timeout(20_000);

  it("rejects a message that cannot be applied", async () => {
    const copy = await loaded();
    const failure = await copy
      .take(message(11, true, [changesOf.block(ann, "none")]))
      .catch((reason) => reason);
    expect(failure).to.be.instanceOf(Error);
  });

  const mute = (value: object) => ({ change: { case: "mute", value } }) as ChangeInit;
  const setting = (audience: number) =>
    ({
      change: { case: "setting", value: { userId: ann, setting: PrivacySetting.STATUS, audience } },
    }) as ChangeInit;
  const excepted = (present: boolean, of: PrivacySetting = PrivacySetting.STATUS) =>
    ({
      change: { case: "exception", value: { userId: ann, setting: of, exceptedId: bob, present } },
    }) as ChangeInit;
  const follow = {
    change: { case: "follow", value: { ownerId: ann, targetId: bob, present: true } },
  } as ChangeInit;
  const edge = { ownerId: bob, targetId: ann, present: true };

  for (const { title, changes, interaction, effect } of [
    { title: "a mute of everything", changes: [mute(edge)], interaction: "VIEW_CONTENT", effect: "HIDE" },
    {
      title: "a mute of notifications",
      changes: [mute({ ...edge, scopes: [MuteScope.NOTIFICATIONS] })],
      interaction: "VIEW_CONTENT",
      effect: "ALLOW",
    },
    {
      title: "a mute of what a later release knows",
      changes: [mute({ ...edge, scopes: [99] })],
      interaction: "VIEW_CONTENT",
      effect: "ALLOW",
    },
    { title: "an audience", changes: [setting(Audience.NONE)], interaction: "VIEW_STATUS", effect: "DENY" },
    {
      title: "an audience that a later release knows",
      changes: [setting(99)],
      interaction: "VIEW_STATUS",
      effect: "DENY",
    },
    {
      title: "an audience that was removed",
      changes: [setting(Audience.NONE), setting(Audience.UNSPECIFIED)],
      interaction: "VIEW_STATUS",
      effect: "ALLOW",
    },
    {
      title: "contacts",
      changes: [setting(Audience.CONTACT_BLACKLIST), follow],
      interaction: "VIEW_STATUS",
      effect: "ALLOW",
    },
    {
      title: "an exception",
      changes: [setting(Audience.CONTACT_BLACKLIST), follow, excepted(true)],
      interaction: "VIEW_STATUS",
      effect: "DENY",
    },
    {
      title: "an exception of a setting that a later release knows",
      changes: [setting(Audience.CONTACT_BLACKLIST), follow, excepted(true, 99 as PrivacySetting)],
      interaction: "VIEW_STATUS",
      effect: "ALLOW",
    },
    { title: "an erasure", changes: [changesOf.noUser(ann)], interaction: "VIEW_PROFILE", effect: "DENY" },
    { title: "a change of a later release", changes: [{}], interaction: "FOLLOW", effect: "ALLOW" },
    {
      title: "a block that ends when the state is read",
      changes: [changesOf.block(ann, bob, 10_000)],
      interaction: "FOLLOW",
      effect: "ALLOW",
    },
    {
      title: "a block that ends a millisecond later",
      changes: [changesOf.block(ann, bob, 10_001)],
      interaction: "FOLLOW",
      effect: "DENY",
    },
  ] as const)
    it(`reads ${title}`, async () => {
      expect(decided(await loaded(...(changes as readonly ChangeInit[])), interaction)).to.equal(effect);
    });
});
