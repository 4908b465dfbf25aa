import pg from "pg";
import { type ConnectionTarget, disconnect, TargetClient } from "./connection-target.ts";
import { isConnectionUnusable, toStoreError } from "./errors.ts";
import { inspectServer } from "./server-state.ts";

/** How long the probe uses a connection before it replaces it, in milliseconds. A new one leads to where the URL leads now. */
const renewAfterMs = 2_000;

/** A server that takes so long to answer may have been stopped, and replaced meanwhile. In milliseconds. */
const staleAfterMs = 300;

/** Takes the table locks that a decision takes, and waits where a decision would wait. Reads no rows. */
const reachTables = `
  select from users, follows, blocks, mutes, privacy_settings, privacy_exceptions where false`;

/** What a successful probe tells about other connections to the database. */
export interface Health {
  /** The server to which the URL leads: connections to another one are out of date. */
  readonly server: string;
  /** When the probe last failed, on the clock of `performance.now()`. Connections opened before may be dead unnoticed. */
  readonly failedAt: number;
}

/**
 * Probes whether the database can answer decisions: it is a primary that accepts changes, and its tables are not locked.
 * It has a connection of its own, and replaces it every two seconds: after a failover behind a proxy or a name, old
 * connections may still lead to a server that has been replaced.
 */
export class HealthProbe {
  readonly #config: pg.ClientConfig;
  readonly #target: ConnectionTarget;
  #client: TargetClient | undefined;
  #successor: TargetClient | undefined;
  #renewAt = 0;
  /** Counts how often the connections were given up. */
  #generation = 0;
  #failedAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  /** The configuration must have timeouts. */
  constructor(target: ConnectionTarget, config: pg.ClientConfig) {
    this.#config = config;
    this.#target = target;
  }

  /** Rejects as `toStoreError` says. Settles within the timeouts of its client. */
  async probe(): Promise<Health> {
    try {
      const probedAt = performance.now();
      const server = await this.#checkServer();
      if (performance.now() - probedAt < staleAfterMs) return { server, failedAt: this.#failedAt };
      // The answer of a server that was stopped and continues counts only if new connections still lead to it.
      this.#discard();
      return { server: await this.#checkServer(), failedAt: this.#failedAt };
    } catch (failure) {
      // An error that the server has sent, such as a lock timeout, does not break the connection.
      if (!(failure instanceof pg.DatabaseError) || isConnectionUnusable(failure)) this.#drop();
      throw toStoreError(failure);
    }
  }

  close(): void {
    this.#isClosed = true;
    void this.#client?.end();
    void this.#successor?.end();
  }

  /** Returns what tells the server apart, when it can decide. */
  async #checkServer(): Promise<string> {
    const client = await this.#current();
    const { server } = await inspectServer(client);
    await client.query(reachTables);
    return server;
  }

  async #current(): Promise<TargetClient> {
    if (this.#successor !== undefined) {
      void this.#client?.end();
      this.#client = this.#successor;
      this.#successor = undefined;
    }
    if (this.#client === undefined) this.#client = await this.#open();
    else if (performance.now() >= this.#renewAt) this.#renew();
    return this.#client;
  }

  async #open(): Promise<TargetClient> {
    this.#renewAt = performance.now() + renewAfterMs;
    const client = await this.#target.connect(async () => {
      const client = new TargetClient({ target: this.#target, client: this.#config });
      try {
        await client.connect();
        await inspectServer(client);
        return client;
      } catch (failure) {
        disconnect(client);
        throw failure;
      }
    });
    if (this.#isClosed) void client.end();
    return client;
  }

  /** Opens the next connection while this one is in use. A failure is ignored: this one still probes the database. */
  #renew(): void {
    const generation = this.#generation;
    this.#open().then(
      (client) => {
        if (generation !== this.#generation) return disconnect(client);
        void this.#successor?.end();
        this.#successor = client;
      },
      () => {},
    );
  }

  #drop(): void {
    this.#failedAt = performance.now();
    this.#discard();
  }

  #discard(): void {
    this.#generation++;
    for (const client of [this.#client, this.#successor]) if (client !== undefined) disconnect(client);
    this.#client = undefined;
    this.#successor = undefined;
  }
}
