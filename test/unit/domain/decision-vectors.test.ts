import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect } from "chai";
import { InteractionSchema } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { decisionTableFile, decisionTableSchemaFile } from "../../../scripts/decision-table.ts";
import type { AnsweredQuestion } from "../../../scripts/decision-vectors.ts";
import * as access from "../../../src/domain/access.ts";
import * as changes from "../../../src/domain/changes.ts";
import * as settings from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { withDecisionTable } from "../../../src/rest/docs/decisions-page.ts";
import {
  askedBy,
  contradicted,
  decisionTablePath,
  readDecisionTable,
} from "../../support/decision-vectors.ts";

const { vectors, vocabulary } = readDecisionTable();
const evaluator = { access, changes, settings };

/**
 * The SHA-256 of what each version says. A version that somebody may have is never edited: whoever changes a rule or a
 * vector raises the version in scripts/decision-table.ts, runs `npm run generate` and adds a line.
 */
const versions = ["e6080197748a1bfa4506e23ac49d1bef4b5bef14616318b26309eb1daa5853d4"];

describe("the published decision table", () => {
  it("is what the rules generate", () => {
    expect(readFileSync(decisionTablePath, "utf8"), 'run "npm run generate"').to.equal(decisionTableFile());
    const schema = readFileSync(decisionTablePath.replace(".json", ".schema.json"), "utf8");
    expect(schema, 'run "npm run generate"').to.equal(decisionTableSchemaFile());
  });

  it("has a new version when it says anything else", () => {
    const { version, ...said } = JSON.parse(decisionTableFile());
    const text = JSON.stringify([said.vocabulary, said.vectors]);
    const digest = createHash("sha256").update(text).digest("hex");
    const advice = `the vectors are not those of version ${version}: raise it, and record the digest`;
    expect([version, digest], advice).to.eql([versions.length, versions.at(-1)]);
  });

  it("is as its schema says", () => {
    const schema = JSON.parse(decisionTableSchemaFile());
    const ajv = new Ajv2020({ allErrors: true });
    expect(ajv.validate(schema, JSON.parse(decisionTableFile())), ajv.errorsText()).to.equal(true);
    const published = JSON.parse(decisionTableFile());
    const misspelled = { ...published, vectors: [{ ...published.vectors[0], facts: { blocks: {} } }] };
    expect(ajv.validate(schema, misspelled)).to.equal(false);
  });

  it("names the interactions of the definition, in its order", () => {
    const defined = InteractionSchema.values.filter(({ number }) => number !== 0);
    expect(vocabulary.interactions).to.eql(defined.map(({ localName }) => localName));
  });

  it("has every vector once, by its name and by what it asks", () => {
    const questions = vectors.map(({ interaction, viewer, facts }) =>
      JSON.stringify([interaction, viewer, facts]),
    );
    expect(new Set(vectors.map(({ name }) => name))).to.have.property("size", vectors.length);
    const published = JSON.parse(decisionTableFile()).vectors.map(({ name }: { name: string }) => name);
    expect(new Set(published)).to.have.property("size", published.length);
    expect(new Set(questions)).to.have.property("size", vectors.length);
  });
});

describe("the vectors of the decision table", () => {
  it("are what the rules decide", () => {
    expect(contradicted(vectors, evaluator)).to.eql([]);
  });

  /** What decides: the facts that apply to the interaction. Two cases of the same kind have the same answer. */
  function kindOf({ query, facts }: ReturnType<typeof askedBy>): string {
    const { interaction, viewer, owner } = query;
    const isOutside = access.decisionTable[interaction].audience !== null && !settings.isInAudience(facts);
    const { known, blocking, blockedBy, muting } = facts;
    const who = viewer === owner ? "self" : viewer === null ? "signed out" : "signed in";
    return JSON.stringify([
      interaction,
      who,
      known && who !== "self" ? { blocking, blockedBy, muting, isOutside } : known,
    ]);
  }

  it("have a vector of every kind that there is, with the same answer", () => {
    const answers = new Map(
      vectors.map((vector) => [kindOf(askedBy(vector, evaluator)), `${vector.effect} ${vector.cause}`]),
    );
    const asked = new Set<string>();
    for (const one of everyCase()) {
      const { effect, cause } = access.decideAccess(one.query, one.facts);
      const kind = kindOf(one);
      asked.add(kind);
      expect(answers.get(kind), kind).to.equal(`${effect} ${cause}`);
    }
    expect(asked).to.have.property("size", answers.size);
  });
});

/** Every question with all facts that can be stored of it: nobody has records without being signed in, or of themselves. */
function* everyCase(): Generator<ReturnType<typeof askedBy>> {
  const either = [false, true];
  const [viewer, owner] = ["viewer", "owner"] as UserId[] as [UserId, UserId];
  for (const [interaction, { muteScope }] of Object.entries(access.decisionTable))
    for (const asking of [viewer, null, owner])
      for (const known of either)
        for (const audience of settings.audiences)
          for (const blocking of asking === viewer ? either : [false])
            for (const blockedBy of asking === viewer ? either : [false])
              for (const muting of asking === viewer && muteScope !== 0 ? either : [false])
                for (const contact of asking === viewer ? either : [false])
                  for (const excepted of asking === viewer ? either : [false])
                    yield {
                      query: { viewer: asking, owner, interaction: interaction as access.Interaction },
                      facts: { known, blocking, blockedBy, muting, audience, contact, excepted },
                    };
}

describe("the printed decision tables", () => {
  const only = (interaction: string, viewer: string, facts: AnsweredQuestion["facts"]) => {
    const found = vectors.find(
      (vector) =>
        vector.interaction === interaction &&
        vector.viewer === viewer &&
        JSON.stringify(vector.facts) === JSON.stringify(facts),
    );
    return found?.effect ?? expect.fail(`no vector ${interaction} ${viewer} ${JSON.stringify(facts)}`);
  };
  /** The rows that the vectors of one fact each make. */
  const rows = (vocabulary.interactions ?? []).map((interaction) => {
    const outside = settings.privacySettings.flatMap((setting) => {
      const facts = { settings: { [setting]: "none" as const } };
      return vectors.some((vector) => vector.name === `${interaction}: ${setting} none`)
        ? [{ setting, effect: only(interaction, "signed_in", facts) }]
        : [];
    });
    expect(only(interaction, "signed_in", { blocking: {} })).to.equal(
      only(interaction, "signed_in", { blocked_by: {} }),
    );
    return {
      interaction,
      block: only(interaction, "signed_in", { blocking: {} }),
      mute: only(interaction, "signed_in", { muting: {} }),
      outside,
      signedOut: only(interaction, "signed_out", {}),
    };
  });

  it("of docs/api.md say what the vectors say", () => {
    const printed = [...readFileSync("docs/api.md", "utf8").matchAll(/^\| ([A-Z][A-Z_]+ \| .*) \|$/gm)];
    expect(printed.map(([, row]) => row)).to.eql(
      rows.map(({ interaction, block, mute, outside, signedOut }) => {
        const cell = outside.map(({ setting, effect }) => `\`${setting}\`: ${effect}`).join() || "-";
        return [interaction, block, mute, cell, signedOut].join(" | ");
      }),
    );
  });

  it("of the page for readers without JavaScript say what the vectors say", () => {
    const printed = [
      ...withDecisionTable("<!-- decision table -->").matchAll(/<tr><th scope="row">(.*?)<\/tr>/g),
    ];
    expect(printed.map(([, row = ""]) => row.replaceAll(/<\/t[hd]>/g, "").split("<td>"))).to.eql(
      rows.map(({ interaction, block, mute, outside, signedOut }) => {
        const cell = outside.map(({ setting, effect }) => `${effect} by ${setting}`).join() || "–";
        return [interaction, block, cell, mute, signedOut];
      }),
    );
  });
});
