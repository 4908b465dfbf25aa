import { type Cause, type Decision, decisionTable, type Interaction } from "../src/domain/access.ts";
import { allScopes, type Change, muteScopes } from "../src/domain/changes.ts";
import { type Audience, audiences, type PrivacySetting, privacySettings } from "../src/domain/settings.ts";
import type { UserId } from "../src/domain/users.ts";
import { RelationshipGraph } from "../src/graph/relationship-graph.ts";

/** The viewer: a signed-in user, a signed-out one, or the owner. */
export const viewers = ["signed_in", "signed_out", "self"] as const;
export type MuteScope = keyof typeof muteScopes;

/** A block. It holds while `expires_in_micros`, counted from the time of the decision, is positive or left out. */
interface VectorBlock {
  readonly expires_in_micros?: number;
}

/** A mute; one without scopes covers everything. */
interface VectorMute extends VectorBlock {
  readonly scopes?: readonly MuteScope[];
}

/** What is stored about a viewer and an owner. What is left out is not so. */
export interface VectorFacts {
  readonly viewer_unknown?: true;
  readonly owner_unknown?: true;
  /** The viewer blocks the owner. */
  readonly blocking?: VectorBlock;
  /** The owner blocks the viewer. */
  readonly blocked_by?: VectorBlock;
  /** The viewer mutes the owner. */
  readonly muting?: VectorMute;
  /** The owner mutes the viewer. */
  readonly muted_by?: VectorMute;
  /** The viewer follows the owner. */
  readonly following?: true;
  /** The owner follows the viewer. */
  readonly contact?: true;
  /** The owner's audiences. */
  readonly settings?: Readonly<Partial<Record<PrivacySetting, Audience>>>;
  /** The owner's settings on whose exception lists the viewer is. */
  readonly exceptions?: readonly PrivacySetting[];
}

/** A question, and what is stored when it is asked. */
interface VectorQuestion {
  readonly interaction: Interaction;
  readonly viewer: (typeof viewers)[number];
  readonly facts: VectorFacts;
}

/** The stored facts, the viewer, and the effect and cause of each interaction of the vector. */
interface DecisionVector extends Pick<VectorQuestion, "viewer" | "facts"> {
  readonly name: string;
  readonly answers: Partial<Record<Interaction, [effect: Decision["effect"], cause: Cause | null]>>;
}

/** A question with its answer. */
export interface AnsweredQuestion extends VectorQuestion, Decision {
  readonly name: string;
}

/** Returns the vectors: every cell of the decision table, every tie of causes, and the ends of blocks and mutes. */
export function decisionVectors(): DecisionVector[] {
  const interactions = Object.keys(decisionTable) as Interaction[];
  const vectors = new Map<string, DecisionVector>();
  for (const question of interactions.flatMap(questionsAbout)) {
    const { interaction, viewer, facts } = question;
    const key = JSON.stringify([viewer, facts]);
    const vector: DecisionVector = vectors.get(key) ?? {
      name: nameOf(question),
      viewer,
      facts,
      answers: {},
    };
    const { effect, cause } = decide(question);
    vector.answers[interaction] = [effect, cause];
    vectors.set(key, vector);
  }
  return [...vectors.values()];
}

/** The questions of vectors, one by one, with their answers and names. */
export function answeredQuestions(vectors: readonly DecisionVector[]): AnsweredQuestion[] {
  return vectors.flatMap(({ name, viewer, facts, answers }) =>
    (Object.keys(answers) as Interaction[]).flatMap((interaction) => {
      const [effect, cause] = answers[interaction] ?? [];
      if (effect === undefined || cause === undefined) return [];
      return [{ name: `${interaction}: ${name}`, interaction, viewer, facts, effect, cause }];
    }),
  );
}

function questionsAbout(interaction: Interaction): VectorQuestion[] {
  const own = decisionTable[interaction].audience;
  const others = none(...privacySettings.filter((setting) => setting !== own));
  const outside = own === null ? [] : [{ settings: none(own) }];
  const signedIn: VectorFacts[] = [
    {},
    { muted_by: {} },
    { following: true },
    { settings: others },
    ...blocks.flatMap((block) => [{ blocking: block }, { blocked_by: block }]),
    ...mutes.map((muting) => ({ muting })),
    ...(own === null ? [] : audienceFacts(own)),
    ...combinations([{ blocking: {} }, { blocked_by: {} }, { muting: {} }, ...outside]),
    { blocking: ended, blocked_by: {} },
    { viewer_unknown: true },
    { owner_unknown: true },
    { viewer_unknown: true, owner_unknown: true },
    { viewer_unknown: true, settings: none(...privacySettings) },
  ];
  const signedOut: VectorFacts[] = [
    {},
    { owner_unknown: true },
    { settings: others },
    ...(own === null ? [] : audiences.map((audience) => ({ settings: { [own]: audience } }))),
  ];
  const self: VectorFacts[] = [{}, { settings: none(...privacySettings) }, { owner_unknown: true }];
  return [
    ...signedIn.map((facts) => ({ interaction, viewer: "signed_in" as const, facts })),
    ...signedOut.map((facts) => ({ interaction, viewer: "signed_out" as const, facts })),
    ...self.map((facts) => ({ interaction, viewer: "self" as const, facts })),
  ];
}

const ended: VectorBlock = { expires_in_micros: 0 };
/** A block that does not end, and one shortly before, at and after its end. */
const blocks: readonly VectorBlock[] = [{}, ...[1, 0, -1].map((micros) => ({ expires_in_micros: micros }))];
const scopes = Object.keys(muteScopes) as MuteScope[];
/** As the blocks, and mutes of each scope and of all. */
const mutes: readonly VectorMute[] = [
  ...blocks,
  ...scopes.flatMap((scope) => [{ scopes: [scope] }, { scopes: [scope], ...ended }]),
  { scopes },
];

const none = (...settings: readonly PrivacySetting[]) =>
  Object.fromEntries(settings.map((setting) => [setting, "none" as const]));

/** Every audience of a setting, for those who are contacts and on the exception list, and those who are not. */
function audienceFacts(setting: PrivacySetting): VectorFacts[] {
  return audiences.flatMap((audience) =>
    [{}, { contact: true as const }].flatMap((contact) =>
      [{}, { exceptions: [setting] }].map((exceptions) => ({
        ...contact,
        settings: { [setting]: audience },
        ...exceptions,
      })),
    ),
  );
}

/** Every choice of two facts or more. */
function combinations(facts: readonly VectorFacts[]): VectorFacts[] {
  const chosen = facts.reduce<VectorFacts[][]>(
    (found, fact) => found.flatMap((some) => [some, [...some, fact]]),
    [[]],
  );
  return chosen.filter(({ length }) => length > 1).map((some) => Object.assign({}, ...some));
}

function nameOf({ viewer, facts }: VectorQuestion): string {
  const { blocking, blocked_by, muting, muted_by, settings = {}, exceptions = [] } = facts;
  const parts = [
    ...(viewer === "signed_in" ? [] : [viewer.replace("_", " ")]),
    ...(facts.viewer_unknown ? ["viewer unknown"] : []),
    ...(facts.owner_unknown ? ["owner unknown"] : []),
    ...(blocking ? [`blocking${endOf(blocking)}`] : []),
    ...(blocked_by ? [`blocked by${endOf(blocked_by)}`] : []),
    ...(muting ? [`muting ${muting.scopes?.join(" and ") ?? "everything"}${endOf(muting)}`] : []),
    ...(muted_by ? [`muted by${endOf(muted_by)}`] : []),
    ...(facts.following ? ["following"] : []),
    ...(facts.contact ? ["contact"] : []),
    ...Object.entries(settings).map(([setting, audience]) => `${setting} ${audience}`),
    ...exceptions.map((setting) => `${setting} excepts the viewer`),
  ];
  return parts.join(", ") || "no fact";
}

function endOf({ expires_in_micros: micros }: VectorBlock): string {
  if (micros === undefined) return "";
  if (micros === 0) return " ends now";
  return micros > 0 ? ` ends in ${micros} us` : ` ended ${-micros} us ago`;
}

/** The users of a vector in a graph of its own, and the time of its decision, in microseconds since 1970. */
const viewerId = "00000000-0000-4000-8000-000000000001" as UserId;
const ownerId = "00000000-0000-4000-8000-000000000002" as UserId;
const decidedAt = 1_000_000_000_000_000n;

function decide({ interaction, viewer, facts }: VectorQuestion): Decision {
  const graph = new RelationshipGraph();
  for (const change of changesOf(facts, { viewer: viewerId, owner: ownerId, now: decidedAt }))
    graph.apply(change);
  const asking = { signed_in: viewerId, signed_out: null, self: ownerId }[viewer];
  const decision = graph.decide({ viewer: asking, owner: ownerId, interaction }, Number(decidedAt));
  if (decision === undefined) throw new Error("a graph with follows decides everything");
  return decision;
}

/** The changes that make the facts of a vector, for a decision at a time in microseconds since 1970. */
export function changesOf(
  facts: VectorFacts,
  { viewer, owner, now }: { readonly viewer: UserId; readonly owner: UserId; readonly now: bigint },
): Change[] {
  const base = { version: 0n, cause: null, changedAt: null };
  const edge = (kind: "block" | "mute" | "follow", from: UserId, to: UserId, terms?: VectorMute): Change[] =>
    terms === undefined
      ? []
      : [{ ...base, kind, owner: from, target: to, edge: { createdAt: 0n, ...toTerms(terms, now) } }];
  const user = (id: UserId, isUnknown = false): Change[] =>
    isUnknown ? [] : [{ ...base, kind: "user", owner: id, present: true }];
  return [
    ...user(viewer, facts.viewer_unknown),
    ...user(owner, facts.owner_unknown),
    ...edge("block", viewer, owner, facts.blocking),
    ...edge("block", owner, viewer, facts.blocked_by),
    ...edge("mute", viewer, owner, facts.muting),
    ...edge("mute", owner, viewer, facts.muted_by),
    ...edge("follow", viewer, owner, facts.following && {}),
    ...edge("follow", owner, viewer, facts.contact && {}),
    ...(Object.entries(facts.settings ?? {}) as [PrivacySetting, Audience][]).map(
      ([setting, audience]): Change => ({ ...base, kind: "setting", owner, setting, audience }),
    ),
    ...(facts.exceptions ?? []).map(
      (setting): Change => ({ ...base, kind: "exception", owner, setting, target: viewer, present: true }),
    ),
  ];
}

function toTerms({ expires_in_micros: micros, scopes: covered = [] }: VectorMute, now: bigint) {
  const bits = covered.reduce((all, scope) => all | muteScopes[scope], 0);
  return {
    expiresAt: micros === undefined ? null : now + BigInt(micros),
    scopes: covered.length === 0 ? allScopes : bits,
  };
}
