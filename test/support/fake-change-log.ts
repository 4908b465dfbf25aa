import type { Change } from "../../src/domain/changes.ts";
import { PrivacyError } from "../../src/domain/errors.ts";
import type { UserId } from "../../src/domain/users.ts";
import type { ChangeLog, StatePosition, Tick, TickName } from "../../src/store/change-log.ts";

const nonce = "a11ce000-0000-4000-8000-000000000001";

const idOf = (n: number) => `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}` as UserId;

/** A change log in memory, with ticks and changes as a test wants them. */
export class FakeChangeLog {
  readonly ticks: Tick[] = [];
  /** The run of the server. */
  server = 1n;
  readonly changes: { readonly tick: bigint; readonly change: Change }[] = [];
  /** What the clock shows; by default the time of the newest tick. */
  clock: bigint | undefined;
  /** The rows of the state. */
  stateRows = 0;
  /** How often it was asked for what. */
  readonly asked = { tick: 0, ticksAfter: 0, read: 0, findTick: 0, readState: 0 };
  /** Called before each answer; what it throws is the answer. */
  before: (name: string) => Promise<void> | void = () => {};
  #version = 0n;

  constructor() {
    this.addTick();
  }

  /** Adds changes, and a tick after them. */
  add(count: number): Tick {
    this.commit(count);
    return this.addTick();
  }

  /** Adds changes that no tick sees yet. */
  commit(count: number): void {
    const tick = BigInt(this.ticks.length + 1);
    for (let i = 0; i < count; i++) {
      this.#version += 1n;
      const edge = { createdAt: 1n, expiresAt: null, scopes: -1 };
      const owner = idOf(Number(this.#version));
      const change = {
        version: this.#version,
        cause: "user",
        changedAt: 1n,
        kind: "block",
        owner,
        target: idOf(0),
        edge,
      } as const;
      this.changes.push({ tick, change });
    }
  }

  addTick(): Tick {
    const id = BigInt(this.ticks.length + 1);
    const tick = { id, nonce, snapshot: "", at: id * 1_000_000n, server: this.server };
    this.ticks.push(tick);
    return tick;
  }

  /** As the store's. */
  get log(): ChangeLog {
    const newest = () => this.ticks.at(-1) as Tick;
    const ask = async (name: keyof FakeChangeLog["asked"]) => {
      this.asked[name] += 1;
      await this.before(name);
    };
    const find = (name: TickName) => {
      const tick = this.ticks.find(({ id }) => id === name.id);
      if (tick === undefined) throw new PrivacyError("CURSOR_EXPIRED");
      if (tick.nonce !== name.nonce) throw new PrivacyError("HISTORY_CHANGED");
      return tick;
    };
    const fake: Partial<ChangeLog> = {
      tick: async ({ force = false } = {}) => {
        await ask("tick");
        return force ? this.addTick() : undefined;
      },
      newestTick: async () => newest(),
      findTick: async (name) => {
        await ask("findTick");
        return find(name);
      },
      ticksAfter: async (name, limit) => {
        await ask("ticksAfter");
        const { id } = find(name);
        const ticks = this.ticks.filter((tick) => tick.id > id).slice(0, limit);
        const now = this.clock ?? (ticks.at(-1) ?? find(name)).at;
        return { ticks, through: now, now };
      },
      read: async (from, to, after, limit) => {
        await ask("read");
        find(from);
        return this.changes
          .filter(({ tick, change }) => tick > from.id && tick <= to.id && change.version > after)
          .slice(0, limit)
          .map(({ change }) => change);
      },
      readState: async (after: StatePosition | undefined, limit: number) => {
        await ask("readState");
        const from = Number(after?.key[0] ?? 0);
        const to = Math.min(from + limit, this.stateRows);
        const base = { version: 0n, cause: null, changedAt: null, kind: "user", present: true } as const;
        const changes = Array.from({ length: to - from }, (_, i) => ({ ...base, owner: idOf(from + i) }));
        const next = to < this.stateRows ? { table: 0, key: [String(to)] } : undefined;
        return { changes, next, server: this.server };
      },
    };
    return fake as ChangeLog;
  }
}
