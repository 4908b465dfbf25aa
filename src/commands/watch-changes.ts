import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, Code, ConnectError } from "@connectrpc/connect";
import type {
  ChangeKind,
  ChangeService,
  WatchChangesRequestSchema,
  WatchChangesResponse,
} from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import type { UserId } from "../domain/users.ts";
import { changeLine, concernsUser, cursorLine } from "./change-lines.ts";
import type { Output } from "./output.ts";
import { untilSilent } from "./until-silent.ts";

interface WatchOptions {
  readonly client: Client<typeof ChangeService>;
  /** The options of a call that begins now. */
  readonly call: () => Promise<CallOptions>;
  readonly start: NonNullable<MessageInitShape<typeof WatchChangesRequestSchema>["start"]>;
  readonly kinds: ChangeKind[];
  /** The user whom all changes concern that are written; any by default. */
  readonly userId: UserId | undefined;
  /** Whether cursors are written, too. */
  readonly withCursors: boolean;
  readonly output: Output;
  /** Called with the cursor after what has been written. */
  readonly onCursor: (cursor: string) => void;
  /** Called when the service is lost, and is called again in `pauseMs` milliseconds. */
  readonly onLost: (failure: ConnectError, pauseMs: number) => void;
  /** Called when it is followed again. */
  readonly onResumed: () => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** The service sends something every second. */
const silenceMs = 30_000;
const firstPauseMs = 200;
const maxPauseMs = 10_000;

/** The codes after which another attempt would fail as well. */
const finalCodes = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unimplemented,
  Code.Unauthenticated,
]);

/**
 * Writes the changes of a running service as NDJSON until `signal` aborts. When the service is lost after it has
 * answered once, goes on from the last cursor, however long it takes.
 */
export async function watchChanges(options: WatchOptions): Promise<void> {
  const { signal, onLost, onResumed } = options;
  const writer = new ChangeWriter(options);
  let { start } = options;
  for (let failures = 0; !signal.aborted; ) {
    try {
      for await (const message of messagesFrom(options, start)) {
        if (failures > 0) onResumed();
        failures = 0;
        await writer.write(message);
        start = { case: "cursor", value: message.cursor };
      }
      throw new ConnectError("the stream has ended", Code.Unavailable);
    } catch (failure) {
      if (signal.aborted) return;
      if (!(failure instanceof ConnectError) || !writer.hasBegun || finalCodes.has(failure.code))
        throw failure;
      const pauseMs = Math.min(maxPauseMs, firstPauseMs * 2 ** failures) * (0.5 + Math.random() / 2);
      onLost(failure, pauseMs);
      failures += 1;
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  }
}

async function* messagesFrom(
  { client, call, kinds, signal }: WatchOptions,
  start: WatchOptions["start"],
): AsyncGenerator<WatchChangesResponse, void> {
  const callOptions = await call();
  const begin = (ended: AbortSignal) =>
    client.watchChanges({ start, kinds }, { ...callOptions, signal: ended });
  yield* untilSilent(begin, silenceMs, signal);
}

class ChangeWriter {
  readonly #options: WatchOptions;
  #cursor: string | undefined;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Whether a message has been written. */
  get hasBegun(): boolean {
    return this.#cursor !== undefined;
  }

  async write(message: WatchChangesResponse): Promise<void> {
    const { userId, withCursors, output, onCursor } = this.#options;
    const changes = message.changes.filter((change) => userId === undefined || concernsUser(change, userId));
    const isNewCursor = message.cursor !== this.#cursor;
    const lines = [
      ...changes.map((change) => changeLine(change) ?? ""),
      ...(withCursors && isNewCursor ? [cursorLine(message)] : []),
    ];
    const text = lines.join("");
    if (text !== "") await output.write(text);
    this.#cursor = message.cursor;
    onCursor(message.cursor);
  }
}
