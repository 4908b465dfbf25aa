import {
  describeEdge,
  type Edge,
  Edges,
  type End,
  later,
  type MuteScope,
  merge,
  timeOf,
} from "./edges-model.ts";

/**
 * What the service promises, in memory: users are small numbers. Written from the description of the service alone,
 * and slow on purpose: every answer is worked out from the sets of pairs.
 */

/**
 * The table of decisions: the effect of a block, of the viewer's mute, the setting that is asked, signed out, and what the
 * mute must cover.
 */
const table = `
  FOLLOW               DENY  ALLOW -               DENY
  SEND_MESSAGE         DENY  ALLOW -               DENY
  MENTION              DENY  ALLOW -               DENY
  COMMENT              DENY  ALLOW -               DENY
  VIEW_PROFILE         LIMIT ALLOW -               ALLOW
  VIEW_CONTENT         HIDE  HIDE  -               ALLOW CONTENT
  RECEIVE_NOTIFICATION HIDE  HIDE  -               DENY  NOTIFICATIONS
  VIEW_LAST_SEEN       DENY  ALLOW LAST_SEEN       ALLOW
  VIEW_PROFILE_PICTURE DENY  ALLOW PROFILE_PICTURE ALLOW
  VIEW_STATUS          DENY  ALLOW STATUS          ALLOW
  VIEW_READ_RECEIPTS   DENY  ALLOW READ_RECEIPTS   ALLOW
  ADD_TO_GROUP         DENY  ALLOW GROUPS          DENY`;

const rows = new Map(
  table
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/) as [string, string, string, string, string, string?])
    .map((row) => [row[0], row]),
);

export const interactions = [...rows.keys()];
export const settings = ["LAST_SEEN", "PROFILE_PICTURE", "STATUS", "READ_RECEIPTS", "GROUPS"] as const;
export const audiences = ["ALL", "CONTACTS", "CONTACT_BLACKLIST", "NONE"] as const;

type Setting = (typeof settings)[number];
type Audience = (typeof audiences)[number];

/** Something that a user does with regard to another. */
export interface PairStep {
  readonly act: "unblock" | "unmute" | "follow" | "unfollow" | "import follow";
  readonly by: number;
  readonly to: number;
}

/** A block or mute that a user makes or changes, or that another system tells of. */
export interface TermsStep {
  readonly act: "block" | "mute" | "change block" | "change mute" | "import block" | "import mute";
  readonly by: number;
  readonly to: number;
  /** What is left out does not end, covers everything, and stays as it is in a change. */
  readonly end?: End;
  /** Of a mute; empty for everything. */
  readonly scopes?: readonly MuteScope[];
}

/** Something that users do, that other services tell of them, or that happens by itself. */
export type Step =
  | PairStep
  | TermsStep
  | { readonly act: "set"; readonly by: number; readonly setting: Setting; readonly audience: Audience }
  | {
      readonly act: "except";
      readonly by: number;
      readonly setting: Setting;
      readonly add: readonly number[];
      readonly remove: readonly number[];
    }
  | WaitStep
  /** The erasure of a user begins: the rest of it may be left to others. */
  | { readonly act: "erase" | "begin to erase" | "register"; readonly by: number };

/** Time passes until so many microseconds before something ends, or after the last step when nothing does. */
export interface WaitStep {
  readonly act: "wait";
  readonly before: bigint;
}

/** The model of the service. */
export class Model {
  readonly #users = new Set<number>();
  readonly #block = new Edges(() => this.now);
  readonly #mute = new Edges(() => this.now);
  readonly #follow = new Edges(() => this.now);
  readonly #exceptions = new Map(settings.map((setting) => [setting, new Set<string>()]));
  readonly #chosen = new Map<string, Audience>();
  /** The clock, in microseconds since 1970. */
  now: bigint;

  constructor(users: readonly number[], now: bigint) {
    for (const user of users) this.#users.add(user);
    this.now = now;
  }

  /** Takes a step, and returns what the service answers; only `OK` and `STORED` change anything. */
  take(step: Step): string {
    switch (step.act) {
      case "register":
        this.#users.add(step.by);
        return "OK";
      case "erase":
      case "begin to erase":
        this.#erase(step.by);
        return "OK";
      case "wait":
        this.#wait(step);
        return "OK";
      case "set":
        if (!this.#users.has(step.by)) return "NotFound";
        this.#chosen.set(`${step.by} ${step.setting}`, step.audience);
        return "OK";
      case "except":
        return this.#except(step);
      case "unfollow":
        this.#follow.delete(step.by, step.to);
        return "OK";
      case "unblock":
      case "unmute":
        if (!this.#knows(step)) return "NotFound";
        (step.act === "unblock" ? this.#block : this.#mute).delete(step.by, step.to);
        return "OK";
      case "follow":
      case "import follow":
        return this.#followed(step);
      case "block":
      case "mute":
        return this.#add(step);
      case "change block":
      case "change mute":
        return this.#change(step);
      case "import block":
      case "import mute":
        return this.#import(step);
    }
  }

  #knows({ by, to }: { readonly by: number; readonly to: number }): boolean {
    return this.#users.has(by) && this.#users.has(to);
  }

  /** To the first end that is far enough away. Follows do not end. */
  #wait({ before }: WaitStep): void {
    const times = [...this.#block.all(), ...this.#mute.all()].flatMap(({ expiresAt }) =>
      expiresAt !== null && expiresAt - before > this.now ? [expiresAt - before] : [],
    );
    const [first] = times.sort((a, b) => (a < b ? -1 : 1));
    this.now = first ?? this.now + 1n;
  }

  #followed(step: PairStep): string {
    const { by, to } = step;
    const isImport = step.act === "import follow";
    if (by === to) return isImport ? "SELF" : "InvalidArgument";
    if (!this.#knows(step)) return isImport ? "UNKNOWN_USER" : "NotFound";
    if (this.#block.has(by, to) || this.#block.has(to, by))
      return isImport ? "FOLLOW_ACROSS_BLOCK" : "FailedPrecondition";
    const isNew = !this.#follow.has(by, to);
    if (isNew) this.#follow.put(by, to, { createdAt: this.now, expiresAt: null, scopes: [] });
    if (!isImport) return "OK";
    return isNew ? "STORED" : "UNCHANGED";
  }

  #add(step: TermsStep): string {
    const { by, to, end = "never" } = step;
    const edges = this.#edges(step);
    if (by === to) return "InvalidArgument";
    if (!this.#knows(step)) return "NotFound";
    if (isOutOfRange(end)) return "InvalidArgument";
    if (edges.has(by, to)) return "AlreadyExists";
    this.#put(step, this.#edgeOf(step));
    return "OK";
  }

  #change(step: TermsStep): string {
    const { by, to, end, scopes } = step;
    if (!this.#knows(step)) return "NotFound";
    const edge = this.#edges(step).get(by, to);
    if (isOutOfRange(end)) return "InvalidArgument";
    if (edge === undefined) return "NotFound";
    this.#edges(step).put(by, to, {
      ...edge,
      ...(end !== undefined && { expiresAt: timeOf(end, this.now) }),
      ...(step.act === "change mute" && scopes !== undefined && { scopes }),
    });
    return "OK";
  }

  #import(step: TermsStep): string {
    const { by, to } = step;
    if (by === to) return "SELF";
    if (!this.#knows(step)) return "UNKNOWN_USER";
    const given = this.#edgeOf(step);
    if (given.expiresAt !== null && given.expiresAt <= this.now) return "EXPIRED";
    const held = this.#edges(step).get(by, to);
    const edge = held === undefined ? given : merge(held, given);
    const isSame = held !== undefined && describeEdge("", held) === describeEdge("", edge);
    this.#put(step, edge);
    return isSame ? "UNCHANGED" : "STORED";
  }

  #edges({ act }: TermsStep): Edges {
    return act.endsWith("block") ? this.#block : this.#mute;
  }

  #edgeOf({ act, end = "never", scopes = [] }: TermsStep): Edge {
    return {
      createdAt: this.now,
      expiresAt: timeOf(end, this.now),
      scopes: act.endsWith("mute") ? scopes : [],
    };
  }

  /** A block ends the follows between the two. */
  #put(step: TermsStep, edge: Edge): void {
    const { by, to } = step;
    this.#edges(step).put(by, to, edge);
    if (step.act.endsWith("mute")) return;
    this.#follow.delete(by, to);
    this.#follow.delete(to, by);
  }

  #except({ by, setting, add, remove }: Extract<Step, { act: "except" }>): string {
    if (add.some((user) => remove.includes(user))) return "InvalidArgument";
    if (![by, ...add].every((user) => this.#users.has(user))) return "NotFound";
    for (const user of remove) this.#exceptions.get(setting)?.delete(`${by} ${user}`);
    for (const user of add) this.#exceptions.get(setting)?.add(`${by} ${user}`);
    return "OK";
  }

  #erase(user: number): void {
    this.#users.delete(user);
    for (const edges of [this.#block, this.#mute, this.#follow]) edges.forget(user);
    for (const [setting, pairs] of this.#exceptions) {
      for (const pair of pairs) if (pair.split(" ").includes(String(user))) pairs.delete(pair);
      this.#chosen.delete(`${user} ${setting}`);
    }
  }

  isKnown(user: number): boolean {
    return this.#users.has(user);
  }

  /** What one user does with regard to another, with the times of edges or without; nothing when one of them is unknown. */
  relationship(a: number, b: number, { withTimes = false } = {}): string[] {
    const kinds = { follow: this.#follow, block: this.#block, mute: this.#mute };
    return Object.entries(kinds).flatMap(([kind, edges]) => {
      const edge = edges.get(a, b);
      return edge === undefined ? [] : [describeEdge(kind, edge, withTimes ? edge.createdAt : undefined)];
    });
  }

  /** The blocks or mutes of a user, in the order of the others. */
  list(of: "block" | "mute", user: number): string[] {
    return (of === "block" ? this.#block : this.#mute)
      .all()
      .filter(({ by }) => by === user)
      .sort((a, b) => a.to - b.to)
      .map((edge) => describeEdge(`${of} ${edge.to}`, edge, edge.createdAt));
  }

  /** Everybody whom a viewer must not be shown, and when the first of them stops being hidden by itself. */
  hidden(viewer: number, interaction: string): { users: number[]; validUntil: bigint | null } {
    const scope = rows.get(interaction)?.[5] as MuteScope;
    const hides = ({ scopes }: Edge) => scopes.length === 0 || scopes.includes(scope);
    const found = new Map<number, bigint | null>();
    for (const user of this.#users) {
      const mute = this.#mute.get(viewer, user);
      const reasons = [
        this.#block.get(viewer, user),
        this.#block.get(user, viewer),
        mute !== undefined && hides(mute) ? mute : undefined,
      ].filter((edge) => edge !== undefined);
      if (reasons.length > 0) found.set(user, reasons.map(({ expiresAt }) => expiresAt).reduce(later));
    }
    const times = [...found.values()].filter((time) => time !== null);
    return {
      users: [...found.keys()].sort((a, b) => a - b),
      validUntil: times.sort((a, b) => (a < b ? -1 : 1))[0] ?? null,
    };
  }

  /** The effect and the cause of an interaction; a viewer of null is signed out. */
  decide(viewer: number | null, owner: number, interaction: string): string {
    if (!this.#users.has(owner) || (viewer !== null && !this.#users.has(viewer))) return "DENY UNKNOWN_USER";
    if (viewer === owner) return "ALLOW SELF";
    const [, block, mute, setting, signedOut, scope] = rows.get(interaction) ?? [];
    const found: string[] = [];
    if (viewer !== null && this.#block.has(viewer, owner)) found.push(`${block} BLOCKING`);
    if (viewer !== null && this.#block.has(owner, viewer)) found.push(`${block} BLOCKED_BY`);
    if (setting !== "-" && !this.#admits(owner, setting as Setting, viewer)) found.push("DENY AUDIENCE");
    const muted = viewer === null ? undefined : this.#mute.get(viewer, owner)?.scopes;
    if (muted?.length === 0 || muted?.includes(scope as MuteScope)) found.push(`${mute} MUTING`);
    if (viewer === null) found.push(`${signedOut} SIGNED_OUT`);
    return strongest(found);
  }

  /** What an owner is told of an interaction: the same as without any block and mute of the viewer. */
  preview(owner: number, viewer: number | null, interaction: string): string {
    if (viewer === owner) return "ALLOW SELF";
    const [, block, , setting, signedOut] = rows.get(interaction) ?? [];
    const found: string[] = [];
    if (viewer !== null && this.#block.has(owner, viewer)) found.push(`${block} BLOCK`);
    if (setting !== "-" && !this.#admits(owner, setting as Setting, viewer)) {
      const audience = this.#chosen.get(`${owner} ${setting}`);
      const isException =
        audience === "CONTACT_BLACKLIST" && viewer !== null && this.#follow.has(owner, viewer);
      found.push(isException ? "DENY EXCEPTION" : "DENY AUDIENCE");
    }
    if (viewer === null) found.push(`${signedOut} SIGNED_OUT`);
    return strongest(found);
  }

  #admits(owner: number, setting: Setting, viewer: number | null): boolean {
    const audience = this.#chosen.get(`${owner} ${setting}`) ?? "ALL";
    if (audience === "ALL") return true;
    if (audience === "NONE" || viewer === null || !this.#follow.has(owner, viewer)) return false;
    return audience === "CONTACTS" || !this.#exceptions.get(setting)?.has(`${owner} ${viewer}`);
  }
}

function isOutOfRange(end: End | undefined): boolean {
  return end === "too soon" || end === "too late";
}

/** The strongest of what was found; of equal effects the first. */
function strongest(found: readonly string[]): string {
  for (const effect of ["DENY", "HIDE", "LIMIT"]) {
    const decision = found.find((finding) => finding.startsWith(effect));
    if (decision !== undefined) return decision;
  }
  return "ALLOW UNSPECIFIED";
}
