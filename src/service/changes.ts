import { durationMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  ChangeService,
  ReadChangesRequest,
  WatchChangesRequest,
} from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { cutOffKey, type DeliveryLimits, DeliveryWatch } from "../call/cut-off.ts";
import { PrivacyError } from "../domain/errors.ts";
import { ChangeCursors, type KindMask, maskOfAll } from "./change-cursor.ts";
import type { ChangeFeed } from "./change-feed.ts";
import { ChangeFollower, type Part, type Start } from "./change-follower.ts";
import { ChangeMessages, isWanted, toChangeKind } from "./change-messages.ts";
import { ChangeStream } from "./change-stream.ts";
import type { ConsistencyTokens } from "./consistency-tokens.ts";
import { fromMicros } from "./proto-mapping.ts";

interface ChangeHandlersOptions {
  readonly feed: ChangeFeed;
  /** Signs cursors: the secret that all instances of the service share. */
  readonly signingKey: Uint8Array;
  readonly consistency: ConsistencyTokens;
  /** Aborts when streams are to end. */
  readonly stopping: AbortSignal;
  /** For how long the caller of a stream may leave a message. */
  readonly delivery?: DeliveryLimits;
}

const defaultDelivery: DeliveryLimits = { ms: 30_000, whenStoppingMs: 1_000 };
const defaultHeartbeatMs = 1_000;
/** How long a call waits at most for what was committed before it to be read, in milliseconds. */
const refreshMs = 1_000;

/** Follows the change log for other services: see `ChangeService` of the definition. */
export function changeHandlers(options: ChangeHandlersOptions): ServiceImpl<typeof ChangeService> {
  const { feed } = options;
  const cursors = new ChangeCursors(options.signingKey);
  const messages = new ChangeMessages(cursors);
  return {
    async *watchChanges(request, context) {
      const { kinds, start } = readStart(request, cursors);
      const heartbeatMs =
        request.heartbeat === undefined ? defaultHeartbeatMs : durationMs(request.heartbeat);
      using call = new FollowingCall(options, context, start);
      const { signal, delivery } = call;
      const follower = await ChangeFollower.begin(feed, kinds, start, signal);
      call.follow(follower);
      const stream = new ChangeStream(follower, messages, isJson(context));
      // The first message is sent at once: it tells the caller that the call has begun, and where to resume it.
      for (let dueAt = 0; ; ) {
        const message = await stream.next(dueAt, signal);
        if (message === undefined) {
          await feed.changed(dueAt - performance.now(), signal);
          continue;
        }
        dueAt = performance.now() + heartbeatMs;
        delivery.sent();
        yield message;
        delivery.taken();
      }
    },

    async readChanges(request, context) {
      const { kinds, start } = readStart(request, cursors);
      // Whatever the write is, it was acknowledged before the call.
      if (request.consistencyToken !== "") options.consistency.read(request.consistencyToken);
      const waitMs = request.wait === undefined ? 0 : durationMs(request.wait);
      const endsAt = performance.now() + waitMs;
      using call = new FollowingCall(options, context, start);
      const follower = await ChangeFollower.begin(feed, kinds, start, call.signal);
      call.follow(follower);
      const { part, readAt } = await readPart(follower, feed, kinds, endsAt, call.signal);
      const { progress } = follower;
      const message = messages.ofPart(part, progress, true) ?? messages.write([], progress);
      const { changes, cursor, complete, through } = message;
      return {
        changes,
        cursor,
        complete,
        ...(through !== undefined && { through }),
        ...(readAt !== undefined && { readAt: fromMicros(readAt) }),
      };
    },
  };
}

/**
 * Reads on until there is something for the caller, or the time is over; but once in any case. `readAt`: what the clock of the
 * database showed meanwhile, in microseconds since 1970; undefined when the log was not read.
 */
async function readPart(
  follower: ChangeFollower,
  feed: ChangeFeed,
  kinds: KindMask,
  endsAt: number,
  signal: AbortSignal,
): Promise<{ readonly part: Part; readonly readAt: bigint | undefined }> {
  const beganInSnapshot = follower.isInSnapshot;
  let readAt: bigint | undefined;
  for (let isRefreshed = false; ; ) {
    const part = await follower.next(signal);
    const leftMs = endsAt - performance.now();
    if (part !== undefined) {
      const hasEnded = beganInSnapshot && !follower.isInSnapshot;
      const isOver = hasEnded || leftMs <= 0 || part.changes.some((change) => isWanted(change, kinds));
      if (isOver) return { part, readAt };
    } else if (!isRefreshed) {
      isRefreshed = true;
      readAt = await feed.refreshed(refreshMs, signal);
    } else {
      if (leftMs <= 0) return { part: { changes: [] }, readAt };
      await feed.changed(leftMs, signal);
    }
  }
}

function readStart(
  { start, kinds: names }: WatchChangesRequest | ReadChangesRequest,
  cursors: ChangeCursors,
): { readonly kinds: KindMask; readonly start: Start } {
  const kinds = maskOfAll(names.map(toChangeKind));
  if (start.case === "cursor")
    return { kinds, start: { at: "cursor", cursor: cursors.read(start.value, kinds) } };
  return { kinds, start: { at: start.case ?? "now" } };
}

function beginsInSnapshot(start: Start): boolean {
  return start.at === "snapshot" || (start.at === "cursor" && start.cursor.snapshot !== undefined);
}

function isJson({ requestHeader }: HandlerContext): boolean {
  // In any case, as Connect reads it.
  return /json/i.test(requestHeader.get("content-type") ?? "");
}

/** A call that follows the change log: it ends when the caller does not wait any more, and when the service stops. */
class FollowingCall implements Disposable {
  readonly delivery: DeliveryWatch;
  readonly #ended = new AbortController();
  readonly #resources = new DisposableStack();
  #follower: ChangeFollower | undefined;

  /** Throws `OVERLOADED` when there are too many. */
  constructor(
    { feed, stopping, delivery = defaultDelivery }: ChangeHandlersOptions,
    context: HandlerContext,
    start: Start,
  ) {
    const unavailable = new PrivacyError("UNAVAILABLE");
    const { signal } = context;
    this.delivery = new DeliveryWatch(() => context.values.get(cutOffKey)(unavailable), delivery);
    this.#resources.defer(() => this.delivery.taken());
    const follower = () => this.#follower;
    this.#resources.defer(
      feed.follow({
        get through() {
          return follower()?.through ?? feed.through;
        },
        get isInSnapshot() {
          return follower()?.isInSnapshot ?? beginsInSnapshot(start);
        },
      }),
    );
    this.#onAbort(signal, () => this.#ended.abort(signal.reason));
    this.#onAbort(stopping, () => {
      this.delivery.stop();
      this.#ended.abort(unavailable);
    });
  }

  /** Aborts when the call is to end. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** To be called when the place of the caller is known. */
  follow(follower: ChangeFollower): void {
    this.#follower = follower;
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  #onAbort(signal: AbortSignal, listener: () => void): void {
    signal.addEventListener("abort", listener);
    this.#resources.defer(() => signal.removeEventListener("abort", listener));
    if (signal.aborted) listener();
  }
}
