import type { Decision, Interaction } from "../domain/access.ts";
import { explainAccess } from "../domain/explanation.ts";
import type { ReplicaCopy } from "./replica-copy.ts";
import { assertInteraction, decide, decideAll, factsOf, lowerCase, readId } from "./replica-decisions.ts";
import { type Listener, ReplicaEmitter } from "./replica-events.ts";
import { ReplicaFollower } from "./replica-follower.ts";
import { ReplicaService } from "./replica-service.ts";
import {
  type Answer,
  type AskOptions,
  type FilterAnswer,
  FollowsNotKeptError,
  type Query,
  ReplicaClosedError,
  type ReplicaEvents,
  type ReplicaExplanation,
  type ReplicaMetrics,
  type ReplicaOptions,
  ReplicaStaleError,
  type StalenessOptions,
} from "./replica-types.ts";
import { ReplicaWaits } from "./replica-waits.ts";

export * from "./replica-types.ts";

const defaultStalenessMs = 5_000;
const defaultHeartbeatMs = 1_000;
const leastHeartbeatMs = 100;
const mostHeartbeatMs = 30_000;

/**
 * A copy of what decisions rest on, in this process: it decides as the service does, synchronously, and says how old its answer
 * is. It follows the service from the moment it is made until it is closed, and keeps the process alive until then.
 *
 * An answer is never older than the caller accepts. The age counts from the state of the database that the copy has; it
 * grows while the service, its database or the connection is away, and also while this process is frozen. Ends of blocks and mutes
 * are as of that state, too.
 *
 * An id is a UUID in either case; any other text is a `TypeError`. An unknown user's decision is DENY, `UNKNOWN_USER`.
 */
export class PrivacyReplica {
  readonly #options: ReplicaOptions;
  readonly #maxStalenessMs: number;
  readonly #service: ReplicaService;
  readonly #follower: ReplicaFollower;
  readonly #events = new ReplicaEmitter();
  readonly #readiness = new ReplicaWaits();
  readonly #states = new ReplicaWaits();
  readonly #calls = new Set<AbortController>();
  readonly #counts = { refused: 0, asked: 0 };
  /** The last failure that was logged, until it follows again. */
  #reported: string | undefined;
  #isReady = false;
  #isStale = false;
  #isClosed = false;

  /** Begins to follow the service. */
  constructor(options: ReplicaOptions) {
    const { maxStalenessMs = defaultStalenessMs, heartbeatMs = defaultHeartbeatMs } = options;
    if (!(maxStalenessMs >= 0)) throw new RangeError("maxStalenessMs must be 0 or more");
    if (!(heartbeatMs >= leastHeartbeatMs && heartbeatMs <= mostHeartbeatMs))
      throw new RangeError(`heartbeatMs must be from ${leastHeartbeatMs} to ${mostHeartbeatMs}`);
    if (options.transport === undefined) throw new TypeError("transport must be given");
    if (typeof options.token !== "function") throw new TypeError("token must be a function");
    this.#options = options;
    this.#maxStalenessMs = maxStalenessMs;
    this.#service = new ReplicaService(options.transport, options.token);
    this.#follower = new ReplicaFollower({
      service: this.#service,
      keepsFollows: options.keepsFollows ?? true,
      heartbeatMs,
      listener: {
        onState: () => this.#noteState(),
        onTick: () => this.#noteAge(),
        onReconnected: () => this.#note("reconnected", "the replica follows the service again"),
        onReloaded: () => this.#note("reloaded", "the replica has loaded another copy"),
        onFailure: (failure, isLasting) => this.#noteFailure(failure, isLasting),
      },
    });
  }

  /**
   * Waits until the replica answers. Rejects with the failure of an attempt that fails again until somebody changes something, as
   * for a token that the service refuses; the replica goes on trying, and `ready` may be called again. Rejects with the
   * signal's reason when it aborts, and with a `ReplicaClosedError`.
   */
  ready(signal?: AbortSignal): Promise<void> {
    return this.#readiness.until(() => this.#isReady, signal);
  }

  /** Decides a query. Throws a `ReplicaStaleError`, and a `FollowsNotKeptError` where follows decide that are not kept. */
  check({ viewer, owner, interaction }: Query, options?: StalenessOptions): Answer {
    assertInteraction(interaction);
    const ageMs = this.#ageWithin(options);
    const { effect, cause } = this.#decide(viewer, owner, interaction);
    return { effect, cause, ageMs };
  }

  /**
   * Returns those of some owners for whom an interaction is allowed, in the order given, as often as given. Throws as `check`
   * does. Takes about a microsecond for each owner, in which nothing else is handled.
   */
  filter(
    viewer: string | null,
    ownerIds: readonly string[],
    interaction: Interaction,
    options?: StalenessOptions,
  ): FilterAnswer {
    assertInteraction(interaction);
    const ageMs = this.#ageWithin(options);
    const { graph, throughMicros } = this.#copy();
    const decisions = decideAll(graph, throughMicros, viewer, ownerIds, interaction);
    const allowed = ownerIds.filter((_, at) => decisions[at]?.effect === "ALLOW");
    return { ownerIds: allowed.map(lowerCase), ageMs };
  }

  /**
   * Explains every interaction of a viewer with an owner. For support and debugging: never show it to either of the two. Throws as
   * `check` does; without follows, always a `FollowsNotKeptError`.
   */
  explain(viewer: string | null, owner: string, options?: StalenessOptions): ReplicaExplanation {
    const [from, to] = [viewer === null ? null : readId(viewer, "viewer"), readId(owner, "owner")];
    const ageMs = this.#ageWithin(options);
    if (this.#options.keepsFollows === false) throw new FollowsNotKeptError();
    const { graph, throughMicros } = this.#copy();
    const facts = factsOf(graph, throughMicros, from, to);
    return { facts, decisions: explainAccess(from, to, facts), ageMs };
  }

  /** As `check`, but asks the service where that would refuse. The service's answer is as of the call, or later. */
  async checkOrAsk(query: Query, options: AskOptions = {}): Promise<Answer> {
    return this.#orAsk(
      () => this.check(query, options),
      async () => {
        const { viewer, owner, interaction } = query;
        const from = viewer === null ? null : readId(viewer, "viewer");
        return this.#service.check(from, readId(owner, "owner"), interaction, options);
      },
    );
  }

  /** As `filter`, but asks the service where that would refuse. */
  async filterOrAsk(
    viewer: string | null,
    ownerIds: readonly string[],
    interaction: Interaction,
    options: AskOptions = {},
  ): Promise<FilterAnswer> {
    return this.#orAsk(
      () => this.filter(viewer, ownerIds, interaction, options),
      async () => {
        const from = viewer === null ? null : readId(viewer, "viewer");
        return {
          ownerIds: await this.#service.filter(
            from,
            ownerIds.map((owner) => readId(owner, "owner")),
            interaction,
            options,
          ),
        };
      },
    );
  }

  /**
   * Waits until the replica has what the write made that answered with a consistency token, and everything else that was
   * acknowledged before the call; with an empty token, for that alone. Rejects with the service's error for a text that is no
   * token, and when the service does not answer within 5 seconds; with one of `UNAVAILABLE` when the clock of the database was
   * set back; then with the signal's reason when it aborts. Without a signal it waits as long as the stream is cut.
   */
  async waitFor(token: string, signal?: AbortSignal): Promise<void> {
    if (this.#isClosed) throw new ReplicaClosedError();
    signal?.throwIfAborted();
    const call = new AbortController();
    const onAbort = () => call.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort);
    this.#calls.add(call);
    try {
      const time = await this.#follower.readTime(token, call.signal);
      this.#follower.confirm(time, call.signal).catch(() => {
        // The stream tells it, sooner or later.
      });
      await this.#states.until(() => (this.#follower.copy?.throughMicros ?? 0) >= time, call.signal);
    } catch (failure) {
      throw call.signal.aborted ? call.signal.reason : failure;
    } finally {
      this.#calls.delete(call);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Calls a listener when something happens, until `off`. */
  on<Name extends keyof ReplicaEvents>(name: Name, listener: Listener<Name>): this {
    this.#events.on(name, listener);
    return this;
  }

  off<Name extends keyof ReplicaEvents>(name: Name, listener: Listener<Name>): this {
    this.#events.off(name, listener);
    return this;
  }

  get metrics(): ReplicaMetrics {
    const { copy, counts, isConnected, isLoading, bytes } = this.#follower;
    const { users = 0, edges = 0 } = copy?.graph.size ?? {};
    return {
      users,
      edges,
      bytes,
      ageMs: this.#ageMs(),
      connected: Number(isConnected),
      loading: Number(isLoading),
      changesTotal: counts.changes,
      reconnectsTotal: counts.reconnects,
      reloadsTotal: counts.reloads,
      failuresTotal: counts.failures,
      refusedTotal: this.#counts.refused,
      askedTotal: this.#counts.asked,
    };
  }

  /** Ends the stream, all timers and all that wait, and gives up the copy. Every later call fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const reason = new ReplicaClosedError();
    this.#readiness.close(reason);
    for (const call of this.#calls) call.abort(reason);
    this.#states.close(reason);
    await this.#follower.close();
  }

  #ageMs(): number {
    return this.#follower.clock.now() - this.#follower.currentAt;
  }

  /** The age of the copy. Throws when it is more than the call accepts. */
  #ageWithin(options: StalenessOptions | undefined): number {
    const maxStalenessMs = options?.maxStalenessMs ?? this.#maxStalenessMs;
    const ageMs = this.#ageMs();
    if (this.#isClosed) throw new ReplicaClosedError();
    if (ageMs <= maxStalenessMs && ageMs < Number.POSITIVE_INFINITY) return ageMs;
    this.#counts.refused++;
    throw new ReplicaStaleError(ageMs, maxStalenessMs);
  }

  /** The copy, which has a state as long as it has an age. */
  #copy(): { graph: ReplicaCopy["graph"]; throughMicros: number } {
    return this.#follower.copy as ReplicaCopy & { throughMicros: number };
  }

  #decide(viewer: string | null, owner: string, interaction: Interaction): Decision {
    const { graph, throughMicros } = this.#copy();
    return decide(graph, throughMicros, viewer, owner, interaction);
  }

  async #orAsk<Found extends object>(
    answer: () => Found & { readonly ageMs: number },
    ask: () => Promise<Found>,
  ): Promise<Found & { readonly ageMs: number }> {
    try {
      return answer();
    } catch (refusal) {
      const isRefusal = refusal instanceof ReplicaStaleError || refusal instanceof FollowsNotKeptError;
      if (!isRefusal || this.#options.fallback === false) throw refusal;
    }
    this.#counts.asked++;
    const askedAt = this.#follower.clock.now();
    const found = await ask();
    return { ...found, ageMs: this.#follower.clock.now() - askedAt };
  }

  #noteState(): void {
    if (this.#isClosed) return;
    if (!this.#isReady && this.#ageMs() < Number.POSITIVE_INFINITY) {
      this.#isReady = true;
      this.#note("ready", "the replica is ready");
      this.#readiness.check();
    }
    this.#states.check();
    this.#noteAge();
  }

  #noteAge(): void {
    if (!this.#isReady) return;
    const ageMs = this.#ageMs();
    const isStale = ageMs > this.#maxStalenessMs;
    if (isStale === this.#isStale) return;
    this.#isStale = isStale;
    const fields = { ageMs, maxStalenessMs: this.#maxStalenessMs };
    if (isStale) this.#options.log?.warn(fields, "the replica is stale");
    else this.#options.log?.info(fields, "the replica is fresh");
    this.#events.emit(isStale ? "stale" : "fresh", { ageMs });
  }

  #noteFailure(failure: Error, isLasting: boolean): void {
    // Once for all attempts that fail alike.
    if (failure.message !== this.#reported)
      this.#options.log?.warn({ err: failure }, "the replica cannot follow the service");
    this.#reported = failure.message;
    this.#events.emit("failed", failure);
    if (isLasting) this.#readiness.fail(failure);
  }

  /** Writes an event to the log, and tells the listeners. */
  #note(event: "ready" | "reconnected" | "reloaded", message: string): void {
    this.#reported = undefined;
    const { users, edges, bytes } = this.metrics;
    this.#options.log?.info({ users, edges, bytes }, message);
    this.#events.emit(event);
  }
}
