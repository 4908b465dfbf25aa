import { toJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  Cause,
  Effect,
  type ExplainAccessResponse,
  type ExplainedEdge,
  type ExplainedFacts,
  type ExplainedInteraction,
  type ExplainedSetting,
  Interaction,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { Audience, type User } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { columnsOf, type Paint, printable, shortened, tableLines } from "./terminal-text.ts";
import { audienceWords, scopeWords, settingWords, UnknownValueError, wordOf, wordsOf } from "./words.ts";

const interactionWords = wordsOf(Interaction);
const effectWords = wordsOf(Effect);

/** How the parts of the text look. */
export interface Paints {
  readonly title: Paint;
  readonly faint: Paint;
  /** Of each effect, and of an answer that is yes or no. */
  readonly good: Paint;
  readonly middling: Paint;
  readonly bad: Paint;
}

/** A viewer and an owner, with what is explained of them. The viewer is undefined when signed out. */
export interface Explained {
  readonly viewer: User | undefined;
  readonly owner: User;
  readonly explanation: ExplainAccessResponse;
}

/** What the two are called in sentences. */
interface Names {
  readonly viewer: string;
  readonly owner: string;
}

/** The most columns of a name within a sentence. */
const nameColumns = 24;

/** Explains in words what a viewer may do with regard to an owner, and why. */
export function explanationText({ viewer, owner, explanation }: Explained, paints: Paints): string {
  const names = namesOf(viewer, owner);
  const { interactions, facts } = explanation;
  if (facts === undefined) throw new UnknownValueError("The service sent no facts.");
  const users = [
    [{ text: "Viewer", paint: paints.title }, ...describeUser(viewer)],
    [{ text: "Owner", paint: paints.title }, ...describeUser(owner)],
  ];
  const decisions = interactions.map((decided) => decisionRow(decided, facts, names, paints));
  const settings = facts.settings.map((setting) => settingRow(setting, names, paints));
  const header = (...titles: string[]) => titles.map((text) => ({ text, paint: paints.faint }));
  const lines = [
    ...tableLines(users),
    "",
    paints.title(`What ${names.viewer} may do with regard to ${names.owner}`),
    "",
    ...tableLines([header("interaction", "effect", "why"), ...decisions]),
    "",
    paints.title("What this rests on") + paints.faint(`, at ${timeOf(facts.readAt)}`),
    "",
    ...tableLines(edgeRows(viewer, owner, facts, names)),
  ];
  if (settings.length > 0) {
    const titles = header(`setting of ${names.owner}`, "audience", `includes ${names.viewer}`);
    lines.push("", ...tableLines([titles, ...settings]));
  }
  return `${lines.join("\n")}\n`;
}

function decisionRow(decided: ExplainedInteraction, facts: ExplainedFacts, names: Names, paints: Paints) {
  const { interaction, effect } = decided;
  const paintOf: Readonly<Record<number, Paint>> = {
    [Effect.ALLOW]: paints.good,
    [Effect.LIMIT]: paints.middling,
    [Effect.HIDE]: paints.middling,
    [Effect.DENY]: paints.bad,
  };
  return [
    wordOf(interactionWords, interaction).replaceAll("_", " "),
    { text: wordOf(effectWords, effect).toUpperCase(), paint: paintOf[effect] ?? paints.bad },
    causeOf(decided, facts, names),
  ];
}

function settingRow(chosen: ExplainedSetting, names: Names, { good, bad }: Paints) {
  return [
    wordOf(settingWords, chosen.setting),
    wordOf(audienceWords, chosen.audience),
    chosen.includesViewer
      ? { text: "yes", paint: good }
      : { text: `no${exceptionOf(chosen, names)}`, paint: bad },
  ];
}

function edgeRows(viewer: User | undefined, owner: User, facts: ExplainedFacts, names: Names): string[][] {
  if (viewer === undefined) return [["nobody is signed in: no block, mute or follow counts"]];
  if (viewer.id === owner.id) return [["the viewer is the owner: no block, mute, follow or setting counts"]];
  const there = `${names.viewer} blocks ${names.owner}`;
  const back = `${names.owner} blocks ${names.viewer}`;
  const contact = `${names.viewer} is ${facts.contact === undefined ? "no" : "a"} contact of ${names.owner}`;
  return [
    [there, describeEdge(facts.blocking)],
    [back, describeEdge(facts.blockedBy)],
    [`${names.viewer} mutes ${names.owner}`, describeEdge(facts.muting)],
    [`${names.owner} follows ${names.viewer}`, `${describeEdge(facts.contact)}: ${contact}`],
  ];
}

/** Two users of one name are told apart by their parts. */
function namesOf(viewer: User | undefined, owner: User): Names {
  if (viewer === undefined) return { viewer: "the signed-out viewer", owner: nameOf(owner) };
  const names = { viewer: nameOf(viewer), owner: nameOf(owner) };
  return names.viewer === names.owner ? { viewer: "the viewer", owner: "the owner" } : names;
}

function nameOf({ userName, id }: User): string {
  const name = printable(userName).trim();
  return columnsOf(name) === 0 ? id : shortened(name, nameColumns);
}

function describeUser(user: User | undefined): string[] {
  if (user === undefined) return ["not signed in"];
  const { id, userName, firstName, lastName } = user;
  return [id, printable(userName), printable(`${firstName} ${lastName}`)];
}

function causeOf({ cause, setting }: ExplainedInteraction, facts: ExplainedFacts, names: Names): string {
  switch (cause) {
    case Cause.UNSPECIFIED:
      return "nothing restricts it";
    case Cause.SELF:
      return "the viewer is the owner";
    case Cause.BLOCKING:
      return `${names.viewer} blocks ${names.owner}`;
    case Cause.BLOCKED_BY:
      return `${names.owner} blocks ${names.viewer}`;
    case Cause.MUTING:
      return `${names.viewer} mutes ${names.owner}`;
    case Cause.SIGNED_OUT:
      return "nobody is signed in";
    case Cause.AUDIENCE: {
      const chosen = facts.settings.find((each) => each.setting === setting);
      const audience = chosen === undefined ? "" : ` (${wordOf(audienceWords, chosen.audience)})`;
      const exception = chosen === undefined ? "" : exceptionOf(chosen, names);
      return `outside the audience of ${wordOf(settingWords, setting)}${audience}${exception}`;
    }
    case Cause.UNKNOWN_USER:
      return `${facts.ownerKnown ? names.viewer : names.owner} is unknown`;
    default:
      throw new UnknownValueError("The service is newer than this command: it sent another cause.");
  }
}

function exceptionOf({ audience, excepted }: ExplainedSetting, names: Names): string {
  return audience === Audience.CONTACT_BLACKLIST && excepted ? `: ${names.viewer} is an exception` : "";
}

function describeEdge(edge: ExplainedEdge | undefined): string {
  if (edge === undefined) return "no";
  const { createdAt, expiresAt, scopes } = edge;
  const end = expiresAt === undefined ? "" : `, until ${timeOf(expiresAt)}`;
  const covered = scopes.map((scope) => wordOf(scopeWords, scope)).join(" and ");
  return `since ${timeOf(createdAt)}${end}${covered === "" ? "" : `, only ${covered}`}`;
}

function timeOf(time: Timestamp | undefined): string {
  return time === undefined ? "an unknown time" : toJson(TimestampSchema, time);
}
