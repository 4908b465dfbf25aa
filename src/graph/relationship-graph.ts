import {
  type AccessQuery,
  type Decision,
  decideAccess,
  decisionTable,
  type RelationshipFacts,
} from "../domain/access.ts";
import type { Change } from "../domain/changes.ts";
import { type Audience, defaultAudience, type PrivacySetting } from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";
import { type EdgeKind, Edges, edgeBits, firstException, never } from "./edges.ts";
import { FoundUser, FoundUsers } from "./found-user.ts";
import { sweepEnd, type TableOptions } from "./segmented-table.ts";
import { UserNumbers } from "./user-numbers.ts";
import { UserTable } from "./user-table.ts";
import {
  audienceIn,
  dependsOnFollows,
  indexOfSetting,
  knownBit,
  newUser,
  withAudience,
} from "./user-word.ts";
import { parseUuid, readUuid, uuidWords } from "./uuid.ts";

export interface GraphOptions extends Partial<TableOptions> {
  /**
   * Whether to keep follows: true by default. They are most of the edges, and only the audiences `contacts` and
   * `contact_blacklist` depend on them; what does is not answered without them.
   */
  readonly follows?: boolean;
}

export interface GraphSize {
  /** Known users. */
  readonly users: number;
  /** Blocks, mutes and follows. Those of erased users count until they are reclaimed. */
  readonly edges: number;
  /** The size of all arrays. */
  readonly bytes: number;
}

/** So few that one segment is rebuilt in a fraction of a millisecond. */
const segmentEntries = 4_096;
/** How many numbers of users a change pays for, in the search for those of erased users, while there may be any. */
const sweptForEachChange = 32;

/** So many queries are decided at once: their memory stays in the caches of the processor meanwhile. */
const decidedAtOnce = 64;

/**
 * The users, blocks, mutes, follows, settings and exceptions of the service, packed in memory: it answers what
 * `decideAccess` asks without a database. It has the state that the changes applied so far make; how current that is the
 * caller knows.
 *
 * No call takes longer than about a millisecond, however much there is. Whatever names a user first gives the user a
 * number, so that the rows of a snapshot may come in any order; the user is known from the user's own row on. An erased
 * user loses the number at once, and with it everything that names the user; later changes reclaim the memory.
 */
export class RelationshipGraph {
  readonly #users: UserTable;
  readonly #edges: Edges;
  readonly #numbers = new UserNumbers();
  readonly #keepsFollows: boolean;
  readonly #id = new Int32Array(uuidWords);
  #knownUsers = 0;
  /** Where the sweep for erased users goes on, and how many numbers are paid for that it has not looked at. */
  #sweepFrom = 0;
  #sweepCredit = 0;
  /** The users of the last query: in a batch, one of them is often that of the next. Empty after a change. */
  readonly #viewer = new FoundUser();
  readonly #owner = new FoundUser();
  /** Those of the queries that are decided at once. Of use only during a call. */
  readonly #viewers = new FoundUsers();
  readonly #owners = new FoundUsers();
  readonly #pairHashes = new Int32Array(decidedAtOnce);
  /** What the last decision was made by: one object for all. */
  readonly #facts: { -readonly [Fact in keyof RelationshipFacts]: RelationshipFacts[Fact] } = {
    known: false,
    blocking: false,
    blockedBy: false,
    muting: false,
    audience: "none",
    contact: false,
    excepted: false,
  };

  constructor(options: GraphOptions = {}) {
    const tables: TableOptions = {
      segmentEntries: options.segmentEntries ?? segmentEntries,
      randomize: options.randomize ?? ((words) => crypto.getRandomValues(words)),
    };
    this.#users = new UserTable(tables);
    this.#edges = new Edges(tables);
    this.#keepsFollows = options.follows ?? true;
  }

  get size(): GraphSize {
    return {
      users: this.#knownUsers,
      edges: this.#edges.count,
      bytes: this.#users.bytes + this.#edges.bytes + this.#numbers.bytes,
    };
  }

  /** Applies a change; applying it again changes nothing. The changes of one key are applied in their order. */
  apply(change: Change): void {
    this.#beginChange();
    switch (change.kind) {
      case "user":
        this.#readId(change.owner);
        if (change.present) this.#setKnown();
        else this.#erase();
        return;
      case "setting":
        this.#readId(change.owner);
        this.#setAudience(change.setting, change.audience ?? defaultAudience);
        return;
      case "exception":
        this.#setException(change.owner, change.setting, change.target, change.present);
        return;
      default:
        if (change.edge === null) this.#deleteEdge(change.kind, change.owner, change.target);
        else {
          const { expiresAt, scopes } = change.edge;
          this.#setEdge(
            change.kind,
            this.#intern(change.owner),
            this.#intern(change.target),
            expiresAt === null ? never : Number(expiresAt),
            scopes,
          );
        }
    }
  }

  /** What holds of the key of a change, as a change that makes it hold again. When an edge was made is not kept. */
  current(change: Change): Change {
    const owner = this.#numberOf(change.owner);
    switch (change.kind) {
      case "user":
        return { ...change, present: (this.#wordOf(change.owner) & knownBit) !== 0 };
      case "setting": {
        const setting = indexOfSetting(change.setting);
        return setting === undefined
          ? change
          : { ...change, audience: audienceIn(this.#wordOf(change.owner), setting) };
      }
      case "exception": {
        const setting = indexOfSetting(change.setting);
        const target = this.#numberOf(change.target);
        return {
          ...change,
          present: setting !== undefined && this.#edges.isException(setting, owner, target),
        };
      }
      default: {
        const terms = this.#edges.terms(change.kind, owner, this.#numberOf(change.target));
        return { ...change, edge: terms === undefined ? null : { createdAt: 0n, ...terms } };
      }
    }
  }

  /** Adds a known user, the bytes of whose id begin at an offset. */
  addUser(bytes: Uint8Array, offset: number): void {
    this.#beginChange();
    readUuid(bytes, offset, this.#id);
    this.#setKnown();
  }

  /**
   * Adds an edge between users, the bytes of whose ids begin at offsets. `expiresAt` is in microseconds since 1970,
   * `Infinity` for an edge that does not end by itself; `scopes` is -1 for one that covers everything.
   */
  addEdge(
    kind: EdgeKind,
    bytes: Uint8Array,
    ownerOffset: number,
    targetOffset: number,
    expiresAt: number,
    scopes: number,
  ): void {
    this.#beginChange();
    const owner = this.#internBytes(bytes, ownerOffset);
    this.#setEdge(kind, owner, this.#internBytes(bytes, targetOffset), expiresAt, scopes);
  }

  /** Adds the choice of an audience. */
  addSetting(bytes: Uint8Array, ownerOffset: number, setting: PrivacySetting, audience: Audience): void {
    this.#beginChange();
    readUuid(bytes, ownerOffset, this.#id);
    this.#setAudience(setting, audience);
  }

  /** Adds an entry of an exception list. */
  addException(bytes: Uint8Array, ownerOffset: number, setting: PrivacySetting, targetOffset: number): void {
    this.#beginChange();
    const owner = this.#internBytes(bytes, ownerOffset);
    this.#changeException(owner, setting, this.#internBytes(bytes, targetOffset), true);
  }

  /** Decides a query by what holds at a time, in microseconds since 1970; undefined where follows decide but are not kept. */
  decide(query: AccessQuery, nowMicros: number): Decision | undefined {
    const users = this.#users;
    this.#owner.begin(users, query.owner);
    if (query.viewer !== null) this.#viewer.begin(users, query.viewer);
    this.#owner.end(users);
    this.#viewer.end(users);
    return this.#decideAbout(query, this.#viewer, this.#owner, nowMicros);
  }

  /** Decides queries as `decide` does, in their order; when they are many, in less time. */
  decideAll(queries: readonly AccessQuery[], nowMicros: number): (Decision | undefined)[] {
    const decisions: (Decision | undefined)[] = [];
    for (let from = 0; from < queries.length; from += decidedAtOnce)
      decisions.push(...this.#decideAtOnce(queries.slice(from, from + decidedAtOnce), nowMicros));
    return decisions;
  }

  /** Decides queries step by step for all of them: the processor waits for much memory at once, not for each in turn. */
  #decideAtOnce(queries: readonly AccessQuery[], nowMicros: number): (Decision | undefined)[] {
    const users = this.#users;
    const viewers = this.#viewers.begin(
      users,
      queries.map(({ viewer }) => viewer),
    );
    const owners = this.#owners.begin(
      users,
      queries.map(({ owner }) => owner),
    );
    const hashes = this.#pairHashes;
    for (let at = 0; at < queries.length; at++) {
      const owner = owners[at] as FoundUser;
      const viewer = viewers[at] as FoundUser;
      owner.end(users);
      viewer.end(users);
      hashes[at] = this.#edges.hashOf(viewer.number, owner.number);
    }
    for (let at = 0; at < queries.length; at++) this.#edges.touch(hashes[at] as number);
    return queries.map((query, at) =>
      this.#decideAbout(query, viewers[at] as FoundUser, owners[at] as FoundUser, nowMicros),
    );
  }

  #decideAbout(
    query: AccessQuery,
    viewer: FoundUser,
    owner: FoundUser,
    nowMicros: number,
  ): Decision | undefined {
    const facts = this.#facts;
    const rule = decisionTable[query.interaction];
    const isSignedOut = query.viewer === null;
    facts.known = (owner.word & (isSignedOut ? knownBit : viewer.word) & knownBit) !== 0;
    const bits = isSignedOut || !facts.known ? 0 : this.#edges.between(viewer.number, owner.number);
    const back = bits >>> 16;
    facts.blocking = this.#edges.isBlocking(bits, viewer.number, owner.number, nowMicros);
    facts.blockedBy = this.#edges.isBlocking(back, owner.number, viewer.number, nowMicros);
    facts.muting = this.#edges.isMuting(bits, viewer.number, owner.number, nowMicros, rule.muteScope);
    facts.contact = (back & edgeBits.follow) !== 0;
    const setting = rule.audience === null ? undefined : indexOfSetting(rule.audience);
    facts.audience = setting === undefined ? defaultAudience : audienceIn(owner.word, setting);
    facts.excepted = setting !== undefined && (back & (firstException << setting)) !== 0;
    const lacksFollows = !this.#keepsFollows && dependsOnFollows(facts.audience);
    if (lacksFollows && facts.known && !isSignedOut && query.viewer !== query.owner) return undefined;
    return decideAccess(query, facts);
  }

  /** Forgets what a change could make wrong, and does its part of the sweep. */
  #beginChange(): void {
    this.#viewer.id = undefined;
    this.#owner.id = undefined;
    if (this.#numbers.needsSweep) this.#sweep();
  }

  #sweep(): void {
    this.#sweepCredit += sweptForEachChange;
    if (this.#sweepCredit <= 0) return;
    if (this.#sweepFrom === 0) this.#numbers.beginSweep();
    this.#sweepFrom = this.#edges.sweep(this.#sweepFrom, this.#isRetired);
    if (this.#sweepFrom < sweepEnd) return;
    this.#sweepFrom = 0;
    this.#numbers.endSweep();
  }

  readonly #isRetired = (user: number) => {
    this.#sweepCredit--;
    return this.#numbers.isRetired(user);
  };

  #readId(id: UserId): void {
    if (!parseUuid(id, this.#id)) throw new Error("an id is no UUID in lower case");
  }

  /** The place of the user whose id was read last, who is added if need be. */
  #place(): number {
    const at = this.#users.find(this.#id);
    return at >= 0 ? at : this.#users.add(this.#id, this.#numbers.next(), newUser);
  }

  #intern(id: UserId): number {
    this.#readId(id);
    return this.#users.numberAt(this.#place());
  }

  #internBytes(bytes: Uint8Array, offset: number): number {
    readUuid(bytes, offset, this.#id);
    return this.#users.numberAt(this.#place());
  }

  /** What is known of a user. */
  #wordOf(id: UserId): number {
    this.#readId(id);
    const at = this.#users.find(this.#id);
    return at < 0 ? newUser : this.#users.stateAt(at);
  }

  /** The number of a user, 0 when nothing names the user. */
  #numberOf(id: UserId): number {
    this.#readId(id);
    const at = this.#users.find(this.#id);
    return at < 0 ? 0 : this.#users.numberAt(at);
  }

  #setKnown(): void {
    const at = this.#place();
    const word = this.#users.stateAt(at);
    if ((word & knownBit) !== 0) return;
    this.#users.setStateAt(at, word | knownBit);
    this.#knownUsers++;
  }

  #erase(): void {
    const at = this.#users.find(this.#id);
    if (at < 0) return;
    if ((this.#users.stateAt(at) & knownBit) !== 0) this.#knownUsers--;
    this.#numbers.retire(this.#users.numberAt(at));
    this.#users.removeAt(at);
  }

  #setAudience(setting: PrivacySetting, audience: Audience): void {
    const index = indexOfSetting(setting);
    if (index === undefined) return;
    const at = this.#place();
    this.#users.setStateAt(at, withAudience(this.#users.stateAt(at), index, audience));
  }

  #setEdge(kind: EdgeKind, owner: number, target: number, expiresAt: number, scopes: number): void {
    if (kind !== "follow" || this.#keepsFollows) this.#edges.set(kind, owner, target, expiresAt, scopes);
  }

  /** Gives nobody a number: what does not hold names no one. */
  #deleteEdge(kind: EdgeKind, ownerId: UserId, targetId: UserId): void {
    const owner = this.#numberOf(ownerId);
    const target = this.#numberOf(targetId);
    if (owner !== 0 && target !== 0) this.#edges.delete(kind, owner, target);
  }

  #setException(ownerId: UserId, setting: PrivacySetting, targetId: UserId, present: boolean): void {
    const owner = present ? this.#intern(ownerId) : this.#numberOf(ownerId);
    const target = present ? this.#intern(targetId) : this.#numberOf(targetId);
    if (owner !== 0 && target !== 0) this.#changeException(owner, setting, target, present);
  }

  #changeException(owner: number, setting: PrivacySetting, target: number, present: boolean): void {
    const index = indexOfSetting(setting);
    if (index !== undefined) this.#edges.setException(index, owner, target, present);
  }
}
