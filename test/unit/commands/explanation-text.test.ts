import { stripVTControlCharacters } from "node:util";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import {
  Cause,
  CauseSchema,
  Effect,
  EffectSchema,
  ExplainAccessResponseSchema,
  type ExplainedFactsSchema,
  Interaction,
  InteractionSchema,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import {
  Audience,
  MuteScope,
  PrivacySetting,
  UserSchema,
} from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { explanationText, type Paints } from "../../../src/commands/explanation-text.ts";
import { columnsOf } from "../../../src/commands/terminal-text.ts";

const someone = (userName: string, n = 1) =>
  create(UserSchema, {
    id: `a11ce000-0000-4000-8000-00000000000${n}`,
    userName,
    firstName: "First",
    lastName: "Last",
  });
const bob = someone("bob", 2);
const plain: Paints = {
  title: (text) => text,
  faint: (text) => text,
  good: (text) => text,
  middling: (text) => text,
  bad: (text) => text,
};
const colours = Object.fromEntries(
  Object.keys(plain).map((name, n) => [name, (text: string) => `\u001b[3${n}m${text}\u001b[0m`]),
) as unknown as Paints;
const at = (text: string) => timestampFromDate(new Date(text));

const noFacts = { viewerKnown: true, ownerKnown: true, readAt: at("2026-11-30T10:00:00.5Z") };
const one = (cause: Cause, effect: Effect, setting: PrivacySetting = PrivacySetting.UNSPECIFIED) =>
  [{ interaction: Interaction.ADD_TO_GROUP, effect, cause, setting }] as const;

function textOf(
  interactions: MessageInitShape<typeof ExplainAccessResponseSchema>["interactions"],
  facts: MessageInitShape<typeof ExplainedFactsSchema> = {},
  viewer: ReturnType<typeof someone> | null = someone("alice"),
  paints = plain,
  owner = bob,
): string {
  const explanation = create(ExplainAccessResponseSchema, {
    ...(interactions && { interactions }),
    facts: { ...noFacts, ...facts } as MessageInitShape<typeof ExplainedFactsSchema>,
  });
  return explanationText({ viewer: viewer ?? undefined, owner, explanation }, paints);
}
const lineOf = (text: string, beginning: string) =>
  text.split("\n").find((line) => line.trimStart().startsWith(beginning));
const setting = (audience: Audience, excepted: boolean, includesViewer: boolean) => ({
  settings: [{ setting: PrivacySetting.GROUPS, audience, excepted, includesViewer }],
});

describe("an explanation in words", () => {
  it("says each cause", () => {
    const blacklist = setting(Audience.CONTACT_BLACKLIST, true, false);
    const causes: [Cause, object, string][] = [
      [Cause.UNSPECIFIED, {}, "nothing restricts it"],
      [Cause.SELF, {}, "the viewer is the owner"],
      [Cause.BLOCKING, {}, "alice blocks bob"],
      [Cause.BLOCKED_BY, {}, "bob blocks alice"],
      [Cause.MUTING, {}, "alice mutes bob"],
      [Cause.SIGNED_OUT, {}, "nobody is signed in"],
      [Cause.AUDIENCE, setting(Audience.NONE, true, false), "outside the audience of groups (none)"],
      [
        Cause.AUDIENCE,
        blacklist,
        "outside the audience of groups (contact_blacklist): alice is an exception",
      ],
      [Cause.UNKNOWN_USER, { viewerKnown: false }, "alice is unknown"],
      [Cause.UNKNOWN_USER, { ownerKnown: false }, "bob is unknown"],
    ];
    expect(new Set(causes.map(([cause]) => cause))).to.have.all.keys(
      CauseSchema.values.map(({ number }) => number),
    );
    for (const [cause, facts, words] of causes) {
      const text = textOf([...one(cause, Effect.DENY, PrivacySetting.GROUPS)], facts);
      expect(lineOf(text, "add to group")).to.equal(`  add to group  DENY    ${words}`);
    }
  });

  it("has a line for every interaction and a word for every effect", () => {
    const interactions = InteractionSchema.values.slice(1).map(({ number }) => ({
      interaction: number as Interaction,
      effect: (1 + (number % 4)) as Effect,
    }));
    const text = textOf(interactions);
    for (const { localName } of InteractionSchema.values.slice(1))
      expect(lineOf(text, localName.toLowerCase().replaceAll("_", " ")), localName).to.be.a("string");
    for (const { localName } of EffectSchema.values.slice(1)) expect(text).to.contain(` ${localName} `);
  });

  it("says the facts, with times and scopes", () => {
    const [start, end] = [at("2026-11-01T00:00:00Z"), at("2026-12-24T18:00:00Z")];
    const text = textOf([], {
      blockedBy: { createdAt: start, expiresAt: end },
      muting: { createdAt: start, scopes: [MuteScope.CONTENT, MuteScope.NOTIFICATIONS] },
      contact: { createdAt: start },
      ...setting(Audience.CONTACT_BLACKLIST, true, false),
    });
    expect(text).to.contain("\nWhat this rests on, at 2026-11-30T10:00:00.500Z\n");
    const since = "since 2026-11-01T00:00:00Z";
    expect(lineOf(text, "alice blocks bob")).to.equal("  alice blocks bob   no");
    expect(lineOf(text, "bob blocks")).to.equal(`  bob blocks alice   ${since}, until 2026-12-24T18:00:00Z`);
    expect(lineOf(text, "alice mutes")).to.equal(
      `  alice mutes bob    ${since}, only content and notifications`,
    );
    expect(lineOf(text, "bob follows")).to.equal(`  bob follows alice  ${since}: alice is a contact of bob`);
    expect(lineOf(text, "groups")).to.match(/^ {2}groups +contact_blacklist {2}no: alice is an exception$/);
    expect(lineOf(textOf([]), "bob follows")).to.equal("  bob follows alice  no: alice is no contact of bob");
  });

  it("of a signed-out viewer and of an unknown owner shows what there is", () => {
    const signedOut = textOf([...one(Cause.SIGNED_OUT, Effect.DENY)], { viewerKnown: false }, null);
    expect(signedOut)
      .to.contain("Viewer  not signed in\n")
      .and.to.contain("What the signed-out viewer may do");
    expect(signedOut).not.to.contain("mutes");
    expect(textOf([], { ownerKnown: false })).not.to.contain("audience");
  });

  it("tells two users of one name apart", () => {
    const text = textOf([...one(Cause.BLOCKING, Effect.DENY)], {}, someone("bob"));
    expect(lineOf(text, "add to group")).to.match(/ the viewer blocks the owner$/);
    const nameless = textOf([...one(Cause.BLOCKING, Effect.DENY)], {}, someone("\u200b\n "));
    expect(lineOf(nameless, "add to group")).to.contain(" a11ce000-0000-4000-8000-000000000001 blocks bob");
  });

  it("stays in its columns and on its lines, whatever the names are", () => {
    const names = [
      "漢字漢字",
      "👩\u200d👩\u200d👧 fam",
      "a\u001b[2J\nb\u0007",
      "\u202eevil",
      "e\u0301".repeat(64),
      "漢".repeat(64),
    ];
    const facts = setting(Audience.NONE, false, false);
    for (const name of names) {
      const text = textOf(
        [...one(Cause.BLOCKING, Effect.DENY)],
        facts,
        someone(name),
        plain,
        someone(`${name}x`, 2),
      );
      expect(text.split("\n")).to.have.length(
        textOf([...one(Cause.BLOCKING, Effect.DENY)], facts).split("\n").length,
      );
      expect(text.replaceAll("\n", "")).not.to.match(/[\p{Cc}\u202e]/u);
      const [viewer = "", owner = ""] = text.split("\n");
      const place = (line: string) => columnsOf(line.slice(0, line.indexOf("First")));
      expect(place(viewer)).to.equal(place(owner));
      expect(columnsOf(lineOf(text, "add to group") ?? "")).to.be.below(80);
    }
  });

  it("has a colour for each effect, and is the same text without colours", () => {
    const paintOf = (effect: Effect) => {
      const text = textOf([...one(Cause.UNSPECIFIED, effect)], {}, someone("漢字"), colours);
      expect(stripVTControlCharacters(text)).to.equal(
        textOf([...one(Cause.UNSPECIFIED, effect)], {}, someone("漢字")),
      );
      return /\[3(\d)m(?:ALLOW|LIMIT|HIDE|DENY)/.exec(text)?.[1];
    };
    const [good, middling, bad] = ["2", "3", "4"];
    expect([Effect.ALLOW, Effect.LIMIT, Effect.HIDE, Effect.DENY].map(paintOf)).to.eql([
      good,
      middling,
      middling,
      bad,
    ]);
  });

  it("refuses what it has no words for", () => {
    for (const [interaction, effect, cause] of [
      [99, 1, 0],
      [1, 99, 0],
      [1, 1, 99],
    ])
      expect(() => textOf([{ interaction, effect, cause } as never])).to.throw("newer than this command");
  });
});
