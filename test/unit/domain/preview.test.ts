import { expect } from "chai";
import fc from "fast-check";
import { InteractionSchema } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { decideAccess, decisionTable } from "../../../src/domain/access.ts";
import { type OwnerChoices, type PreviewedInteraction, previewAccess } from "../../../src/domain/preview.ts";
import { audiences, mapSettings, privacySettings } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";

const [me, other] = ["me", "other"] as UserId[] as [UserId, UserId];

/**
 * What the owner chose, the same for all settings, and who looks; then for each interaction the effect (Allow, Limit,
 * Hide, Deny) with the sign of its cause.
 */
const previews = `
viewer chosen                            FOL MSG MEN COM PRO CON NOT SEE PIC STA REA GRO
me     all                               A=  A=  A=  A=  A=  A=  A=  A=  A=  A=  A=  A=
me     none,block                        A=  A=  A=  A=  A=  A=  A=  A=  A=  A=  A=  A=
other  all                               A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.
other  all,excepted                      A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.
other  contacts                          A.  A.  A.  A.  A.  A.  A.  D@  D@  D@  D@  D@
other  contacts,contact                  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.
other  contacts,contact,excepted         A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.
other  contact_blacklist                 A.  A.  A.  A.  A.  A.  A.  D@  D@  D@  D@  D@
other  contact_blacklist,excepted        A.  A.  A.  A.  A.  A.  A.  D@  D@  D@  D@  D@
other  contact_blacklist,contact         A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.
other  contact_blacklist,contact,excepted A.  A.  A.  A.  A.  A.  A.  D!  D!  D!  D!  D!
other  none                              A.  A.  A.  A.  A.  A.  A.  D@  D@  D@  D@  D@
other  none,contact,excepted             A.  A.  A.  A.  A.  A.  A.  D@  D@  D@  D@  D@
other  all,block                         D>  D>  D>  D>  L>  H>  H>  D>  D>  D>  D>  D>
other  none,block                        D>  D>  D>  D>  L>  H>  H>  D>  D>  D>  D>  D>
other  contact_blacklist,excepted,block  D>  D>  D>  D>  L>  H>  H>  D>  D>  D>  D>  D>
nobody all                               D?  D?  D?  D?  A.  A.  D?  A.  A.  A.  A.  D?
nobody contacts                          D?  D?  D?  D?  A.  A.  D?  D@  D@  D@  D@  D@
nobody contact_blacklist                 D?  D?  D?  D?  A.  A.  D?  D@  D@  D@  D@  D@
nobody none                              D?  D?  D?  D?  A.  A.  D?  D@  D@  D@  D@  D@
`;

const causeSigns: Record<string, string> = {
  SELF: "=",
  BLOCK: ">",
  AUDIENCE: "@",
  EXCEPTION: "!",
  SIGNED_OUT: "?",
};

const signsOf = ({ effect, cause }: PreviewedInteraction) =>
  effect.charAt(0) + (cause === null ? "." : causeSigns[cause]);

const interactions = InteractionSchema.values
  .filter(({ number }) => number !== 0)
  .map(({ localName }) => localName);

describe("the preview of an account", () => {
  const [, ...rows] = previews
    .trim()
    .split("\n")
    .map((line) => line.split(/\s+/));

  for (const [who = "", chosen = "", ...signs] of rows) {
    it(`for ${who} when the owner chose ${chosen}`, () => {
      const [audience, ...facts] = chosen.split(",");
      const choice = { audience: audience as OwnerChoices["settings"]["groups"]["audience"] };
      const choices: OwnerChoices = {
        blocking: facts.includes("block"),
        contact: facts.includes("contact"),
        settings: mapSettings(() => ({ ...choice, excepted: facts.includes("excepted") })),
      };
      const viewer = { me, other, nobody: null }[who] as UserId | null;
      const found = previewAccess(viewer, me, choices);
      expect(found.map(signsOf)).to.eql(signs);
    });
  }

  it("has every interaction, in the order of the definition", () => {
    const settings = mapSettings(() => ({ audience: "all", excepted: false }) as const);
    const found = previewAccess(other, me, { blocking: false, contact: false, settings });
    expect(found.map(({ interaction }) => interaction)).to.eql(interactions);
  });

  it("names the setting of an interaction and its audience, whatever decides", () => {
    const ofSetting = { last_seen: "all", profile_picture: "contacts", status: "none" } as const;
    const settings = mapSettings((setting) => ({
      audience:
        (ofSetting as Partial<Record<string, (typeof audiences)[number]>>)[setting] ?? "contact_blacklist",
      excepted: true,
    }));
    const expected = [
      ...Array.from({ length: 7 }, () => [null, null]),
      ["last_seen", "all"],
      ["profile_picture", "contacts"],
      ["status", "none"],
      ["read_receipts", "contact_blacklist"],
      ["groups", "contact_blacklist"],
    ];
    for (const viewer of [me, other, null]) {
      for (const blocking of [false, true]) {
        const found = previewAccess(viewer, me, { blocking, contact: true, settings });
        expect(found.map(({ setting, audience }) => [setting, audience])).to.eql(expected);
      }
    }
  });

  it("takes every setting's own choice", () => {
    for (const closed of privacySettings) {
      const settings = mapSettings((setting) => ({
        audience: setting === closed ? ("none" as const) : ("all" as const),
        excepted: false,
      }));
      const found = previewAccess(other, me, { blocking: false, contact: true, settings });
      const denied = found.filter(({ effect }) => effect !== "ALLOW");
      expect(denied.map(({ setting, cause }) => [setting, cause])).to.eql([[closed, "AUDIENCE"]]);
    }
  });

  it("is the decision about a viewer without blocks and mutes", () => {
    const choice = fc.record({ audience: fc.constantFrom(...audiences), excepted: fc.boolean() });
    const choices = fc.record({
      blocking: fc.boolean(),
      contact: fc.boolean(),
      settings: fc.record(mapSettings(() => choice)),
    });
    fc.assert(
      fc.property(fc.constantFrom(me, other, null), choices, (viewer, chosen) => {
        for (const { interaction, effect, cause } of previewAccess(viewer, me, chosen)) {
          const { audience } = decisionTable[interaction];
          const decided = decideAccess(
            { viewer, owner: me, interaction },
            {
              ...{ known: true, blocking: false, muting: false },
              ...{ blockedBy: chosen.blocking, contact: chosen.contact },
              ...(audience === null ? { audience: "all", excepted: false } : chosen.settings[audience]),
            },
          );
          expect(effect, interaction).to.equal(decided.effect);
          const named = { BLOCK: "BLOCKED_BY", EXCEPTION: "AUDIENCE" } as Partial<Record<string, string>>;
          expect(cause && (named[cause] ?? cause), interaction).to.equal(decided.cause);
        }
      }),
    );
  });
});
