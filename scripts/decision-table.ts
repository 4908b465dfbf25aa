import { writeFileSync } from "node:fs";
import { CauseSchema } from "../gen/nexgate/privacy/v1/access_service_pb.ts";
import { decisionTable, effects } from "../src/domain/access.ts";
import { muteScopes } from "../src/domain/changes.ts";
import { audiences, defaultAudience, privacySettings } from "../src/domain/settings.ts";
import { decisionVectors, viewers } from "./decision-vectors.ts";

/** The version of the vectors: the next number whenever a vector is added, changed or removed. */
const version = 1;

/** Every name that a vector uses; an empty cause is null. */
const vocabulary = {
  interactions: Object.keys(decisionTable),
  viewers,
  effects,
  causes: CauseSchema.values.flatMap(({ number, localName }) => (number === 0 ? [] : localName)),
  settings: privacySettings,
  audiences,
  mute_scopes: Object.keys(muteScopes),
};

const description =
  "The decision table of Privacy Control as test vectors. Each vector has a name, who asks, the facts that are stored then, and " +
  "the answers: effect and cause of each interaction. A fact that is left out is not so.";

/** The content of decision-table.json: the vectors, one a line. */
export function decisionTableFile(): string {
  const head = JSON.stringify({ version, description, vocabulary }, undefined, 2).slice(0, -2);
  const vectors = decisionVectors().map((vector) => `    ${JSON.stringify(vector)}`);
  return `${head},\n  "vectors": [\n${vectors.join(",\n")}\n  ]\n}\n`;
}

/** The content of decision-table.schema.json, which describes every field. */
export function decisionTableSchemaFile(): string {
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

const object = (about: string, properties: Record<string, object>, required: readonly string[] = []) => ({
  type: "object",
  description: about,
  properties,
  required,
  additionalProperties: false,
});
const oneOf = (about: string, names: readonly string[]) => ({
  type: "string",
  description: about,
  enum: names,
});
const list = (about: string, items: object) => ({
  type: "array",
  description: about,
  items,
  uniqueItems: true,
});
const fact = (about: string) => ({ description: about, const: true });
const names = (about: string) => list(about, { type: "string" });

const expiry = {
  expires_in_micros: {
    type: "integer",
    description:
      "When it ends, in microseconds after the time of the decision: at 0 or less it has ended and has no effect. " +
      "Left out: it does not end.",
  },
};
const block = (about: string) => object(about, expiry);
const mute = (about: string) =>
  object(about, {
    ...expiry,
    scopes: list("What it covers. Left out: everything.", { enum: vocabulary.mute_scopes }),
  });

const facts = object("What is stored about viewer and owner. A fact that is left out is not so.", {
  viewer_unknown: fact("The service does not know the viewer."),
  owner_unknown: fact("The service does not know the owner."),
  blocking: block("The viewer blocks the owner."),
  blocked_by: block("The owner blocks the viewer."),
  muting: mute("The viewer mutes the owner."),
  muted_by: mute("The owner mutes the viewer, which changes nothing."),
  following: fact("The viewer follows the owner, which changes nothing."),
  contact: fact("The owner follows the viewer: the viewer is a contact of the owner."),
  settings: {
    type: "object",
    description: `The owner's audiences. That of a setting that is left out is "${defaultAudience}".`,
    propertyNames: { enum: privacySettings },
    additionalProperties: { enum: audiences },
  },
  exceptions: list(
    "The owner's settings on whose exception lists the viewer is, whatever their audiences are.",
    {
      enum: privacySettings,
    },
  ),
});

const vectorProperties = {
  name: { type: "string", description: "Names the vector; no other has this name." },
  viewer: oneOf("A user other than the owner, nobody, or the owner.", viewers),
  facts,
  answers: {
    type: "object",
    description: "Effect and cause of what the viewer wants: `Interaction` without its prefix.",
    propertyNames: { enum: vocabulary.interactions },
    minProperties: 1,
    additionalProperties: {
      type: "array",
      prefixItems: [
        oneOf("The answer: `Effect` without its prefix.", effects),
        {
          description:
            "Why: `Cause` without its prefix. Null where the answer is CAUSE_UNSPECIFIED, a plain ALLOW.",
          enum: [...vocabulary.causes, null],
        },
      ],
      items: false,
      minItems: 2,
    },
  },
};

const rootProperties = {
  version: {
    type: "integer",
    description: "The next number whenever a vector is added, changed or removed.",
  },
  description: { type: "string" },
  vocabulary: object(
    "Every name that a vector uses.",
    {
      interactions: names("In the order of the definition."),
      viewers: names("The values of `viewer`."),
      effects: names("From the weakest to the strongest: of several that apply the strongest is answered."),
      causes: names("In their order: of several with the same effect the first is answered."),
      settings: names("The settings of an owner."),
      audiences: names("The audiences of a setting."),
      mute_scopes: names("What a mute can cover."),
    },
    Object.keys(vocabulary),
  ),
  vectors: list(
    "Every cell of the table, every tie of causes, and the ends of blocks and mutes.",
    object("Who asks, the facts, and the answers.", vectorProperties, Object.keys(vectorProperties)),
  ),
};

const schema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "The decision table of Privacy Control",
  ...object(description, rootProperties, Object.keys(rootProperties)),
};

if (import.meta.main) {
  writeFileSync("docs/decision-table.json", decisionTableFile());
  writeFileSync("docs/decision-table.schema.json", decisionTableSchemaFile());
}
