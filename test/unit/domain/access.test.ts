import { expect } from "chai";
import {
  type AccessRule,
  type Cause,
  type Decision,
  decideAccess,
  decisionTable,
  type Effect,
  effects,
  type Interaction,
  type RelationshipFacts,
} from "../../../src/domain/access.ts";
import { type Audience, privacySettings } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";

/** Who does what to whom: `me` looks, all others are looked at. */
const blocks = ["me blocked", "blocker me", "me enemy", "enemy me", "me shunned", "me hermit", "recluse me"];
const mutes = ["me muted", "muter me", "me shunned", "me loud-hermit", "me loud-friend"];
const follows = ["me idol", "fan me", "friend me", "ex-friend me", "loud-friend me", "host me"];
const excepts = ["ex-friend me", "enemy me", "stranger-but me"];
const audiences: Record<string, Audience> = {
  idol: "contacts",
  friend: "contacts",
  "loud-friend": "contacts",
  "ex-friend": "contact_blacklist",
  host: "contact_blacklist",
  "stranger-but": "contact_blacklist",
  cautious: "contacts",
  private: "none",
  hermit: "none",
  recluse: "none",
  "loud-hermit": "none",
};

/** Each cell: the effect (Allow, Limit, Hide, Deny), then the cause by the signs below. */
const decisions = `
viewer  owner        FOL MSG MEN COM PRO CON NOT SEE PIC STA REA GRO
me      me           A=  A=  A=  A=  A=  A=  A=  A=  A=  A=  A=  A=
me      stranger     A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.
me      blocked      D>  D>  D>  D>  L>  H>  H>  D>  D>  D>  D>  D>
me      blocker      D<  D<  D<  D<  L<  H<  H<  D<  D<  D<  D<  D<
me      enemy        D>  D>  D>  D>  L>  H>  H>  D>  D>  D>  D>  D>
me      muted        A.  A.  A.  A.  A.  H~  H~  A.  A.  A.  A.  A.
me      muter        A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.
me      shunned      D>  D>  D>  D>  L>  H>  H>  D>  D>  D>  D>  D>
me      fan          A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.
me      idol         A.  A.  A.  A.  A.  A.  A.  D@  D@  D@  D@  D@
me      cautious     A.  A.  A.  A.  A.  A.  A.  D@  D@  D@  D@  D@
me      friend       A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.
me      host         A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.  A.
me      ex-friend    A.  A.  A.  A.  A.  A.  A.  D@  D@  D@  D@  D@
me      stranger-but A.  A.  A.  A.  A.  A.  A.  D@  D@  D@  D@  D@
me      private      A.  A.  A.  A.  A.  A.  A.  D@  D@  D@  D@  D@
me      hermit       D>  D>  D>  D>  L>  H>  H>  D>  D>  D>  D>  D>
me      recluse      D<  D<  D<  D<  L<  H<  H<  D<  D<  D<  D<  D<
me      loud-hermit  A.  A.  A.  A.  A.  H~  H~  D@  D@  D@  D@  D@
me      loud-friend  A.  A.  A.  A.  A.  H~  H~  A.  A.  A.  A.  A.
nobody  stranger     D?  D?  D?  D?  A.  A.  D?  A.  A.  A.  A.  D?
nobody  friend       D?  D?  D?  D?  A.  A.  D?  D@  D@  D@  D@  D@
nobody  host         D?  D?  D?  D?  A.  A.  D?  D@  D@  D@  D@  D@
nobody  private      D?  D?  D?  D?  A.  A.  D?  D@  D@  D@  D@  D@
`;

const columns: Record<string, Interaction> = {
  FOL: "FOLLOW",
  MSG: "SEND_MESSAGE",
  MEN: "MENTION",
  COM: "COMMENT",
  PRO: "VIEW_PROFILE",
  CON: "VIEW_CONTENT",
  NOT: "RECEIVE_NOTIFICATION",
  SEE: "VIEW_LAST_SEEN",
  PIC: "VIEW_PROFILE_PICTURE",
  STA: "VIEW_STATUS",
  REA: "VIEW_READ_RECEIPTS",
  GRO: "ADD_TO_GROUP",
};

const effectOf: Record<string, Effect> = { A: "ALLOW", L: "LIMIT", H: "HIDE", D: "DENY" };
const causeOf: Record<string, Cause | null> = {
  "=": "SELF",
  ">": "BLOCKING",
  "<": "BLOCKED_BY",
  "@": "AUDIENCE",
  "~": "MUTING",
  "?": "SIGNED_OUT",
  ".": null,
};

function decide(viewer: string, owner: string, interaction: Interaction, more = {}): Decision {
  const facts: RelationshipFacts = {
    known: true,
    blocking: blocks.includes(`${viewer} ${owner}`),
    blockedBy: blocks.includes(`${owner} ${viewer}`),
    muting: mutes.includes(`${viewer} ${owner}`),
    audience: audiences[owner] ?? "all",
    contact: follows.includes(`${owner} ${viewer}`),
    excepted: excepts.includes(`${owner} ${viewer}`),
    ...more,
  };
  const id = (name: string) => name as UserId;
  return decideAccess(
    { viewer: viewer === "nobody" ? null : id(viewer), owner: id(owner), interaction },
    facts,
  );
}

describe("decisions", () => {
  const [heads = [], ...rows] = decisions
    .trim()
    .split("\n")
    .map((line) => line.split(/\s+/));
  const names = heads.slice(2);

  it("are asked for every interaction", () => {
    expect(names.map((name) => columns[name])).to.have.members(Object.keys(decisionTable));
  });

  for (const [viewer = "", owner = "", ...cells] of rows) {
    it(`of ${viewer} with regard to ${owner}`, () => {
      const expected = cells.map(([effect = "", cause = ""]): Decision => {
        return { effect: effectOf[effect] as Effect, cause: causeOf[cause] as Cause | null };
      });
      expect(names.map((name) => decide(viewer, owner, columns[name] as Interaction))).to.eql(expected);
    });
  }

  const interactions = Object.keys(decisionTable) as Interaction[];
  const worst = { blocking: true, blockedBy: true, muting: true, audience: "none" };

  it("about oneself are ALLOW, whatever is stored", () => {
    for (const interaction of interactions)
      expect(decide("me", "me", interaction, worst)).to.eql({ effect: "ALLOW", cause: "SELF" });
  });

  it("about an unknown user are DENY, whatever is stored", () => {
    for (const viewer of ["me", "friend", "nobody"])
      for (const interaction of interactions)
        expect(decide(viewer, "friend", interaction, { known: false })).to.eql({
          effect: "DENY",
          cause: "UNKNOWN_USER",
        });
  });

  it("are DENY for an audience that is none of the defined ones", () => {
    const facts = { audience: "everyone", contact: true };
    expect(decide("me", "friend", "VIEW_STATUS", facts)).to.eql({ effect: "DENY", cause: "AUDIENCE" });
  });
});

describe("the decision table", () => {
  const rules: [string, AccessRule][] = Object.entries(decisionTable);

  it("has an effect in every cell", () => {
    for (const [interaction, { block, mute, signedOut }] of rules) {
      for (const effect of [block, mute, signedOut]) expect(effects, interaction).to.include(effect);
    }
  });

  it("names the scope that a mute must cover where a mute has an effect, and there alone", () => {
    for (const [interaction, { mute, muteScope }] of rules)
      expect(muteScope !== 0, interaction).to.equal(mute !== "ALLOW");
  });

  it("lets nothing through a block", () => {
    for (const [interaction, { block }] of rules) expect(block, interaction).to.not.equal("ALLOW");
  });

  it("asks for the audience of each setting once", () => {
    expect(rules.flatMap(([, { audience }]) => audience ?? [])).to.have.members([...privacySettings]);
  });

  it("orders the effects from the weakest to the strongest", () => {
    expect(effects).to.eql(["ALLOW", "LIMIT", "HIDE", "DENY"]);
  });
});
