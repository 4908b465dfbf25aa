import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import * as access from "../../../src/domain/access.ts";
import * as changes from "../../../src/domain/changes.ts";
import * as settings from "../../../src/domain/settings.ts";
import { contradicted, type Evaluator, readDecisionTable } from "../../support/decision-vectors.ts";

const { vectors } = readDecisionTable();
const rules = Object.entries(access.decisionTable) as [access.Interaction, access.AccessRule][];

/** The rules that an interaction could have instead, each with one cell that is another. */
function otherRules(rule: access.AccessRule): access.AccessRule[] {
  const effects = (column: "block" | "signedOut") =>
    access.effects
      .filter((effect) => effect !== rule[column])
      .map((effect) => ({ ...rule, [column]: effect }));
  const scopes = [0, changes.muteScopes.content, changes.muteScopes.notifications, 3];
  // A mute without effect covers nothing, and the other way round: both cells make one.
  const mutes = access.effects.flatMap((mute) => scopes.map((muteScope) => ({ ...rule, mute, muteScope })));
  const hasEffect = ({ mute, muteScope }: access.AccessRule) => mute !== "ALLOW" && muteScope !== 0;
  const differs = (other: access.AccessRule) =>
    hasEffect(rule) !== hasEffect(other) ||
    (hasEffect(rule) && (rule.mute !== other.mute || rule.muteScope !== other.muteScope));
  return [
    ...effects("block"),
    ...effects("signedOut"),
    ...mutes.filter(differs),
    ...[null, ...settings.privacySettings]
      .filter((audience) => audience !== rule.audience)
      .map((audience) => ({ ...rule, audience })),
  ];
}

/** The causes in another order than theirs. */
const order = (...places: readonly number[]) => `of [${places}].map((place) => findings[place]!))`;

/** What somebody may get wrong about the rules around the table: the file, its text, and the wrong text. */
const mistakes: readonly [about: string, file: string, text: string, instead: string][] = [
  ["being blocked wins over blocking", "access.ts", "of findings)", order(1, 0, 2, 3, 4)],
  ["the audience wins over being blocked", "access.ts", "of findings)", order(0, 2, 1, 3, 4)],
  ["being signed out wins over the audience", "access.ts", "of findings)", order(0, 1, 4, 2, 3)],
  [
    "the last of equal causes wins",
    "access.ts",
    "effects.indexOf(effect) > effects",
    "effects.indexOf(effect) >= effects",
  ],
  [
    "the weakest effect wins",
    "access.ts",
    "effects.indexOf(effect) > effects",
    "effects.indexOf(effect) < effects",
  ],
  ["an unknown user may", "access.ts", "if (!facts.known) return unknownUser;", ""],
  ["nobody is oneself", "access.ts", "if (query.viewer === query.owner) return self;", ""],
  ["self has no cause", "access.ts", 'cause: "SELF" }', "cause: null }"],
  ["an unknown user has another cause", "access.ts", 'cause: "UNKNOWN_USER" }', 'cause: "SIGNED_OUT" }'],
  [
    "outside an audience is hidden",
    "access.ts",
    '!isInAudience(facts) ? "DENY"',
    '!isInAudience(facts) ? "HIDE"',
  ],
  ["contacts are everybody", "settings.ts", "return facts.contact;", "return true;"],
  ["contacts are nobody", "settings.ts", "return facts.contact;", "return false;"],
  [
    "exceptions of contacts count",
    "settings.ts",
    "return facts.contact;",
    "return facts.contact && !facts.excepted;",
  ],
  ["exceptions are not asked", "settings.ts", "facts.contact && !facts.excepted", "facts.contact"],
  ["all but the exceptions", "settings.ts", "facts.contact && !facts.excepted", "!facts.excepted"],
  ["all are nobody", "settings.ts", "return true;", "return false;"],
  ["exceptions of all count", "settings.ts", "return true;", "return !facts.excepted;"],
  ["none are the contacts", "settings.ts", "return false;", "return facts.contact;"],
  [
    "contacts by default",
    "settings.ts",
    'defaultAudience: Audience = "all"',
    'defaultAudience: Audience = "contacts"',
  ],
];

describe("the vectors of the decision table notice", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-rules-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const [interaction, rule] of rules)
    it(`every other rule of ${interaction}`, () => {
      const unnoticed = otherRules(rule).filter((other) => {
        const decisionTable = access.decisionTable as Record<string, access.AccessRule>;
        decisionTable[interaction] = other;
        try {
          return contradicted(vectors, { access, changes, settings }).length === 0;
        } finally {
          decisionTable[interaction] = rule;
        }
      });
      expect(unnoticed).to.eql([]);
    });

  for (const [number, [about, file, text, instead]] of mistakes.entries())
    it(`the mistake that ${about}`, async () => {
      const evaluator = await evaluatorWith(join(folder, `${number}-`), file, (source) => {
        const changed = source.replace(text, instead);
        expect(changed).to.not.equal(source);
        return changed;
      });
      expect(contradicted(vectors, evaluator)).to.not.eql([]);
    });

  it("nothing where there is no mistake", async () => {
    const evaluator = await evaluatorWith(join(folder, "same-"), "access.ts", (source) => source);
    expect(contradicted(vectors, evaluator)).to.eql([]);
  });
});

/** The modules that decide, one of them with another text. */
async function evaluatorWith(
  prefix: string,
  changed: string,
  change: (source: string) => string,
): Promise<Evaluator> {
  const folder = mkdtempSync(prefix);
  const load = async (name: string) => await import(pathToFileURL(join(folder, name)).href);
  for (const name of ["access.ts", "changes.ts", "settings.ts"]) {
    const source = readFileSync(`src/domain/${name}`, "utf8");
    writeFileSync(join(folder, name), name === changed ? change(source) : source);
  }
  return {
    access: await load("access.ts"),
    changes: await load("changes.ts"),
    settings: await load("settings.ts"),
  };
}
