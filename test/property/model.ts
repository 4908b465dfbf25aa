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
export const muteScopes = ["CONTENT", "NOTIFICATIONS"] as const;
export const audiences = ["ALL", "CONTACTS", "CONTACT_BLACKLIST", "NONE"] as const;

type Setting = (typeof settings)[number];
type Audience = (typeof audiences)[number];
type MuteScope = (typeof muteScopes)[number];

/** Something that a user does with regard to another. */
export interface PairStep {
  readonly act: "block" | "unblock" | "mute" | "unmute" | "follow" | "unfollow";
  readonly by: number;
  readonly to: number;
}

/** Something that users do, that other services tell of them, or that happens by itself. */
export type Step =
  | PairStep
  | { readonly act: "set"; readonly by: number; readonly setting: Setting; readonly audience: Audience }
  | {
      readonly act: "except";
      readonly by: number;
      readonly setting: Setting;
      readonly add: readonly number[];
      readonly remove: readonly number[];
    }
  /** The blocks or the mutes of a user end by themselves. */
  | { readonly act: "lapse"; readonly of: "block" | "mute"; readonly by: number }
  /** The mutes of a user cover one scope from now on. */
  | { readonly act: "narrow"; readonly by: number; readonly scope: MuteScope }
  /** The erasure of a user begins: the rest of it may be left to others. */
  | { readonly act: "erase" | "begin to erase" | "register"; readonly by: number };

/** A set of pairs of users, of one kind. */
class Pairs {
  #pairs: (readonly [number, number])[] = [];
  has = (a: number, b: number) => this.#pairs.some(([x, y]) => x === a && y === b);
  add(a: number, b: number): void {
    if (!this.has(a, b)) this.#pairs.push([a, b]);
  }
  delete(a: number, b: number): void {
    this.#pairs = this.#pairs.filter(([x, y]) => x !== a || y !== b);
  }
  of = (a: number) => this.#pairs.flatMap(([x, y]) => (x === a ? [y] : []));
  deleteAll(a: number): void {
    this.#pairs = this.#pairs.filter(([x]) => x !== a);
  }
  forget(user: number): void {
    this.#pairs = this.#pairs.filter((pair) => !pair.includes(user));
  }
}

/** The model of the service. */
export class Model {
  readonly #users = new Set<number>();
  readonly #blocks = new Pairs();
  readonly #mutes = new Pairs();
  readonly #scopes = new Map<string, MuteScope>();
  readonly #follows = new Pairs();
  readonly #exceptions = new Map(settings.map((setting) => [setting, new Pairs()]));
  readonly #chosen = new Map<string, Audience>();

  constructor(users: readonly number[]) {
    for (const user of users) this.#users.add(user);
  }

  /** Takes a step, and returns the code that the service answers; only `OK` changes anything. */
  take(step: Step): string {
    switch (step.act) {
      case "register":
        this.#users.add(step.by);
        return "OK";
      case "erase":
      case "begin to erase":
        this.#erase(step.by);
        return "OK";
      case "lapse":
        (step.of === "block" ? this.#blocks : this.#mutes).deleteAll(step.by);
        return "OK";
      case "narrow":
        for (const to of this.#mutes.of(step.by)) this.#scopes.set(`${step.by} ${to}`, step.scope);
        return "OK";
      case "set":
        if (!this.#users.has(step.by)) return "NotFound";
        this.#chosen.set(`${step.by} ${step.setting}`, step.audience);
        return "OK";
      case "except":
        return this.#except(step);
      case "unfollow":
        this.#follows.delete(step.by, step.to);
        return "OK";
      case "unblock":
      case "unmute":
        if (!this.#users.has(step.by) || !this.#users.has(step.to)) return "NotFound";
        (step.act === "unblock" ? this.#blocks : this.#mutes).delete(step.by, step.to);
        return "OK";
      default:
        return this.#connect(step.act, step.by, step.to);
    }
  }

  #connect(act: "block" | "mute" | "follow", by: number, to: number): string {
    if (by === to) return "InvalidArgument";
    if (!this.#users.has(by) || !this.#users.has(to)) return "NotFound";
    if (act === "follow") {
      if (this.#blocks.has(by, to) || this.#blocks.has(to, by)) return "FailedPrecondition";
      this.#follows.add(by, to);
      return "OK";
    }
    const pairs = act === "block" ? this.#blocks : this.#mutes;
    if (pairs.has(by, to)) return "AlreadyExists";
    pairs.add(by, to);
    if (act === "mute") this.#scopes.delete(`${by} ${to}`);
    if (act === "block") {
      this.#follows.delete(by, to);
      this.#follows.delete(to, by);
    }
    return "OK";
  }

  #except({ by, setting, add, remove }: Extract<Step, { act: "except" }>): string {
    if (add.some((user) => remove.includes(user))) return "InvalidArgument";
    if (![by, ...add].every((user) => this.#users.has(user))) return "NotFound";
    for (const user of remove) this.#exceptions.get(setting)?.delete(by, user);
    for (const user of add) this.#exceptions.get(setting)?.add(by, user);
    return "OK";
  }

  #erase(user: number): void {
    this.#users.delete(user);
    for (const pairs of [this.#blocks, this.#mutes, this.#follows, ...this.#exceptions.values()])
      pairs.forget(user);
    for (const setting of settings) this.#chosen.delete(`${user} ${setting}`);
  }

  /** What one user does with regard to another; nothing between users of whom one is unknown. */
  relationship(a: number, b: number): string[] {
    const pairs = { follow: this.#follows, block: this.#blocks, mute: this.#mutes };
    return Object.entries(pairs).flatMap(([act, kind]) => (kind.has(a, b) ? [act] : []));
  }

  /** The effect and the cause of an interaction; a viewer of null is signed out. */
  decide(viewer: number | null, owner: number, interaction: string): string {
    if (!this.#users.has(owner) || (viewer !== null && !this.#users.has(viewer))) return "DENY UNKNOWN_USER";
    if (viewer === owner) return "ALLOW SELF";
    const [, block, mute, setting, signedOut, scope] = rows.get(interaction) ?? [];
    const found: string[] = [];
    if (viewer !== null && this.#blocks.has(viewer, owner)) found.push(`${block} BLOCKING`);
    if (viewer !== null && this.#blocks.has(owner, viewer)) found.push(`${block} BLOCKED_BY`);
    if (setting !== "-" && !this.#admits(owner, setting as Setting, viewer)) found.push("DENY AUDIENCE");
    const covered = this.#scopes.get(`${viewer} ${owner}`) ?? scope;
    if (viewer !== null && this.#mutes.has(viewer, owner) && covered === scope) found.push(`${mute} MUTING`);
    if (viewer === null) found.push(`${signedOut} SIGNED_OUT`);
    for (const effect of ["DENY", "HIDE", "LIMIT"]) {
      const decision = found.find((finding) => finding.startsWith(effect));
      if (decision !== undefined) return decision;
    }
    return "ALLOW UNSPECIFIED";
  }

  #admits(owner: number, setting: Setting, viewer: number | null): boolean {
    const audience = this.#chosen.get(`${owner} ${setting}`) ?? "ALL";
    if (audience === "ALL") return true;
    if (audience === "NONE" || viewer === null || !this.#follows.has(owner, viewer)) return false;
    return audience === "CONTACTS" || !this.#exceptions.get(setting)?.has(owner, viewer);
  }
}
